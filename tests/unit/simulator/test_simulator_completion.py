import json
from typing import Any

import jsonschema
import pytest

from router_service.simulator.completion import Completion, PromptCache, complete
from router_service.simulator.dialects import DIALECTS
from router_service.simulator.models import SimulatedModel
from router_service.simulator.refusal import Refused
from router_service.simulator.wire import Envelope, Mark, body, events

PLAIN = SimulatedModel(name="plain", quality=0.9)
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def ask(prompt: str, model: SimulatedModel = PLAIN, **more: Any) -> Completion:
    return complete(model, {"messages": [{"role": "user", "content": prompt}], **more}, PromptCache())


def test_a_limit_cuts_the_answer_and_says_so() -> None:
    completion = ask("Explain how tides work", max_completion_tokens=5)
    assert (completion.output_tokens, completion.finish_reason, completion.usage.output_tokens) == (5, "length", 5)


def test_thoughts_count_towards_the_limit_and_the_usage() -> None:
    thinking = SimulatedModel(name="thinker", reasoning=True)
    cut = ask("Explain how tides work", thinking, max_tokens=10)
    assert (len(cut.reasoning), cut.text, cut.finish_reason) == (10, (), "length")
    whole = ask("Explain how tides work", thinking)
    assert whole.usage.reasoning_tokens == len(whole.reasoning) > 0
    assert whole.usage.output_tokens == len(whole.reasoning) + len(whole.text)


def test_a_stop_text_ends_the_answer_before_itself() -> None:
    assert "2." in "".join(ask("Explain how tides work").text)
    stopped = ask("Explain how tides work", stop=["2."])
    assert "2." not in "".join(stopped.text)
    assert stopped.finish_reason == "stop"


def test_a_json_schema_is_followed() -> None:
    schema = {"type": "object", "properties": {"total": {"type": "integer"}}, "required": ["total"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "invoice", "schema": schema}}
    answer = json.loads("".join(ask("The total is 12", response_format=wanted).text))
    jsonschema.validate(answer, schema)
    assert answer == {"total": 12}


def test_a_json_object_is_an_object() -> None:
    answer = "".join(ask("Explain how tides work", response_format={"type": "json_object"}).text)
    assert isinstance(json.loads(answer), dict)


@pytest.mark.parametrize(
    ("prompt", "choice", "called"),
    [
        ("What is the weather in Oslo?", None, ["get_weather"]),
        ("Tell me a joke", None, []),
        ("Tell me a joke", "required", ["get_weather"]),
        ("Tell me a joke", {"type": "function", "function": {"name": "get_weather"}}, ["get_weather"]),
        ("What is the weather in Oslo?", "none", []),
    ],
)
def test_a_tool_is_called_when_required_or_asked_for(prompt: str, choice: object, called: list[str]) -> None:
    completion = ask(prompt, tools=[WEATHER], **({"tool_choice": choice} if choice else {}))
    assert [call.name for call in completion.calls] == called
    assert completion.finish_reason == ("tool_calls" if called else "stop")
    assert all("city" in json.loads("".join(call.arguments)) for call in completion.calls)


def test_a_tools_result_is_followed_by_an_answer() -> None:
    messages = [
        {"role": "user", "content": "What is the weather in Oslo?"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function"}]},
        {"role": "tool", "tool_call_id": "1", "content": "rain"},
    ]
    completion = complete(PLAIN, {"messages": messages, "tools": [WEATHER]}, PromptCache())
    assert (completion.calls, completion.finish_reason) == ((), "stop")


def test_a_repeated_prefix_counts_as_cached_in_whole_blocks() -> None:
    cache = PromptCache()
    system = {"role": "system", "content": "You are a support agent. " * 40}
    first = complete(PLAIN, {"messages": [system, {"role": "user", "content": "Hello"}]}, cache)
    second = complete(PLAIN, {"messages": [system, {"role": "user", "content": "Bye"}]}, cache)
    assert first.usage.cached_input_tokens == 0
    assert 128 < second.usage.cached_input_tokens < second.usage.input_tokens
    assert second.usage.cached_input_tokens % PLAIN.cache_block_tokens == 0


def test_a_cache_belongs_to_its_model() -> None:
    cache, other = PromptCache(), SimulatedModel(name="other")
    asked = {"messages": [{"role": "user", "content": "word " * 300}]}
    complete(PLAIN, asked, cache)
    assert complete(other, asked, cache).usage.cached_input_tokens == 0


@pytest.mark.parametrize(
    ("model", "more", "code"),
    [
        (SimulatedModel(name="small", context_window=50), {"max_tokens": 60}, "context_length_exceeded"),
        (PLAIN, {"max_tokens": 10**9}, "invalid_value"),
        (SimulatedModel(name="no_tools", tools=False), {"tools": [WEATHER]}, "unsupported_parameter"),
        (SimulatedModel(name="m", dialect=DIALECTS["mistral"]), {"stream_options": {}}, "extra_forbidden"),
    ],
)
def test_what_a_provider_would_refuse_is_refused(model: SimulatedModel, more: dict[str, Any], code: str) -> None:
    with pytest.raises(Refused) as refused:
        ask("Hello", model, **more)
    assert refused.value.code == code


def test_a_picture_needs_a_model_that_sees() -> None:
    picture = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    asked = {"messages": [{"role": "user", "content": picture}]}
    assert complete(PLAIN, asked, PromptCache()).usage.input_tokens > 255
    with pytest.raises(Refused):
        complete(SimulatedModel(name="blind", vision=False), asked, PromptCache())


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("tools", [True, False])
def test_every_dialect_streams_the_same_answer_that_it_sends_whole(name: str, tools: bool) -> None:
    dialect = DIALECTS[name]
    model = SimulatedModel(name="m", quality=0.9, reasoning=True, dialect=dialect)
    completion = ask("What is the weather in Oslo?", model, **({"tools": [WEATHER]} if tools else {}))
    envelope = Envelope(id="1", model="m", created=1, dialect=dialect)
    streamed = list(events(completion, envelope, include_usage=True))
    text = reasoning = arguments = finish = ""
    for event in streamed:
        for line in event.data.splitlines():
            payload = line.removeprefix(b"data:").strip()
            if not line.startswith(b"data:") or payload == b"[DONE]":
                continue
            chunk = json.loads(payload)
            for choice in chunk["choices"]:
                finish = choice["finish_reason"] or finish
                text += choice["delta"].get("content") or ""
                reasoning += choice["delta"].get(dialect.reasoning_field) or ""
                for call in choice["delta"].get("tool_calls", ()):
                    arguments += call["function"]["arguments"]
    message = body(completion, envelope)["choices"][0]["message"]
    assert (text or None, reasoning) == (message["content"], message[dialect.reasoning_field])
    assert arguments == "".join(call["function"]["arguments"] for call in message.get("tool_calls", ()))
    assert sum(event.tokens for event in streamed) == completion.usage.output_tokens
    assert bool(finish) == dialect.sends_finish_reason
    assert any(event.usage for event in streamed) == (name != "none")
    assert (streamed[-1].mark is Mark.DONE) == dialect.sends_done


def test_log_probabilities_come_when_asked_for_and_cover_the_text() -> None:
    assert ask("Explain how tides work").scores is None
    completion = ask("Explain how tides work", logprobs=True, top_logprobs=3)
    assert completion.scores is not None
    assert tuple(score.token for score in completion.scores) == completion.text
    for score in completion.scores:
        assert len(score.top) == 3
        assert score.logprob == dict(score.top)[score.token] < 0
        assert [one for _, one in score.top] == sorted((one for _, one in score.top), reverse=True)


def test_asking_for_log_probabilities_changes_no_answer() -> None:
    assert ask("Explain how tides work", logprobs=True).text == ask("Explain how tides work").text


def test_a_better_model_is_surer() -> None:
    def least(quality: float) -> float:
        model = SimulatedModel(name="m", quality=quality)
        scores = ask("Explain how tides work", model, logprobs=True).scores
        assert scores
        return min(score.logprob for score in scores)

    assert least(0.2) < least(0.6) < least(1.0)


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (PLAIN, {"logprobs": 2}),
        (PLAIN, {"top_logprobs": 2}),
        (PLAIN, {"logprobs": True, "top_logprobs": 21}),
        (SimulatedModel(name="thinker", reasoning=True), {"logprobs": True}),
        (SimulatedModel(name="g", dialect=DIALECTS["groq"]), {"logprobs": True}),
        (SimulatedModel(name="t", dialect=DIALECTS["together"]), {"logprobs": True}),
    ],
)
def test_a_model_refuses_to_be_asked_in_another_way(model: SimulatedModel, fields: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        ask("Explain how tides work", model, **fields)


@pytest.mark.parametrize("name", ["openai", "together"])
def test_a_stream_has_the_log_probabilities_of_a_whole_answer(name: str) -> None:
    dialect = DIALECTS[name]
    model = SimulatedModel(name="m", quality=0.9, dialect=dialect)
    fields = {"logprobs": 2} if name == "together" else {"logprobs": True, "top_logprobs": 2}
    completion = ask("Explain how tides work", model, **fields)
    envelope = Envelope(id="1", model="m", created=1, dialect=dialect)
    lists: dict[str, list[Any]] = {}
    for event in events(completion, envelope, include_usage=True):
        if event.tokens:
            (choice,) = json.loads(event.data.removeprefix(b"data: "))["choices"]
            for key, value in choice["logprobs"].items():
                lists.setdefault(key, []).extend(value or [])
    (whole,) = body(completion, envelope)["choices"]
    assert {key: value for key, value in lists.items() if value} == {
        key: value for key, value in json.loads(json.dumps(whole["logprobs"])).items() if value
    }
