"""Answers that go on from a given beginning, in every dialect that knows how."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from router_service.domain.vendor import Prefill
from router_service.simulator import Fault, FaultKind, SimulatedModel, Simulator
from router_service.simulator.completion import Completion, PromptCache, complete
from router_service.simulator.dialects import DIALECTS, Dialect
from router_service.simulator.refusal import Refused

PROMPT = {"role": "user", "content": "Explain how tides work"}
MARKS: dict[Prefill, tuple[dict[str, Any], dict[str, Any]]] = {
    Prefill.NONE: ({}, {}),
    Prefill.PLAIN: ({}, {}),
    Prefill.PREFIX: ({"prefix": True}, {}),
    Prefill.PARTIAL: ({"partial": True}, {}),
    Prefill.CONTINUE_FINAL: ({}, {"continue_final_message": True, "add_generation_prompt": False}),
}
CONTINUING = [dialect for dialect in DIALECTS.values() if dialect.prefill is not Prefill.NONE]


def answer(dialect: Dialect, begun: str | None = None, way: Prefill | None = None, **more: Any) -> Completion:
    model = SimulatedModel(name="m", quality=0.9, reasoning=more.pop("reasoning", False), dialect=dialect)
    in_message, in_request = MARKS[dialect.prefill if way is None else way]
    last = [] if begun is None else [{"role": "assistant", "content": begun, **in_message}]
    return complete(model, {"messages": [PROMPT, *last], **in_request, **more}, PromptCache())


def said(completion: Completion) -> str:
    return "".join(completion.text)


@pytest.mark.parametrize("dialect", CONTINUING, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("reasoning", [False, True])
def test_beginning_and_continuation_are_the_answer(dialect: Dialect, reasoning: bool) -> None:
    whole = answer(dialect, reasoning=reasoning)
    for cut in (1, 7, len(said(whole)) // 2, len(said(whole)) - 1):
        begun = said(whole)[:cut].rstrip()
        rest = answer(dialect, begun, reasoning=reasoning)
        assert begun + said(rest) == said(whole)
        assert (rest.prefix, rest.reasoning, rest.finish_reason) == (begun, (), "stop")


@pytest.mark.parametrize("dialect", CONTINUING, ids=lambda dialect: dialect.name)
def test_the_beginning_is_billed_as_input_alone(dialect: Dialect) -> None:
    whole = answer(dialect)
    rest = answer(dialect, "".join(whole.text[:10]).rstrip())
    assert rest.usage.output_tokens == len(rest.text) == len(whole.text) - 10
    assert rest.usage.input_tokens > whole.usage.input_tokens + 10


def test_a_beginning_of_another_model_is_gone_on_from() -> None:
    dialect = DIALECTS["ollama"]
    whole = answer(dialect)
    rest = answer(dialect, "Once upon a time")
    assert rest.text == whole.text[4:]
    assert answer(dialect, said(whole) + " and then " * 100).text == whole.text[-1:]


def test_the_limit_is_for_what_is_new() -> None:
    dialect = DIALECTS["vllm"]
    rest = answer(dialect, "".join(answer(dialect).text[:10]).rstrip(), max_tokens=3)
    assert (len(rest.text), rest.usage.output_tokens, rest.finish_reason) == (3, 3, "length")


@pytest.mark.parametrize("name", ["openai", "azure", "gemini", "vllm", "deepseek", "moonshot"])
def test_without_being_asked_as_it_wants_a_provider_answers_anew(name: str) -> None:
    anew = answer(DIALECTS[name], "Tides are", way=Prefill.NONE)
    assert anew.prefix == ""
    assert len(anew.text) > 10


@pytest.mark.parametrize(("name", "words"), [("mistral", "Expected last role"), ("anthropic_4_6", "does not support")])
def test_some_refuse_a_last_message_of_the_assistant(name: str, words: str) -> None:
    with pytest.raises(Refused, match=words) as refused:
        answer(DIALECTS[name], "Tides are", way=Prefill.NONE)
    assert refused.value.status == 400


def test_anthropic_refuses_a_beginning_that_ends_in_white_space() -> None:
    with pytest.raises(Refused, match="trailing whitespace"):
        answer(DIALECTS["anthropic"], "Tides are ")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("echo", [False, True])
async def test_the_journal_knows_the_whole_answer_echoed_or_not(
    http: aiohttp.ClientSession, stream: bool, echo: bool
) -> None:
    model = SimulatedModel(name="m", quality=0.9, dialect=DIALECTS["ollama"])
    body = {"model": "m", "stream": stream, "messages": [PROMPT, {"role": "assistant", "content": "Tides are"}]}
    async with Simulator([model]) as simulator:
        if echo:
            simulator.fail("m", Fault(kind=FaultKind.ECHO_PREFIX))
        async with http.post(f"{simulator.base_url}/chat/completions", json=body) as response:
            sent = await response.text()
        entry = simulator.journal[0]
    assert entry.prefix == "Tides are"
    assert entry.intended.startswith("Tides are")
    assert ("Tides are" in sent) is echo
    assert entry.tokens_sent == entry.billed.output_tokens
