"""An answer that broke off is continued elsewhere: against the simulated provider, in every dialect that can."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from provider_calls import Outcome, a_provider, a_request, completed, streamed
from wild_streams import DONE, FINISH, answer_to_request, chunk

from router_service.domain.deployment import Deployment
from router_service.domain.error import UpstreamFault
from router_service.domain.upstream import UpstreamRequest
from router_service.domain.vendor import Prefill, Quirks
from router_service.engine.taxonomy import may_fall_back
from router_service.providers.openai_compatible import OpenAICompatible
from router_service.simulator import Fault, FaultKind, SimulatedModel, Simulator
from router_service.simulator.dialects import DIALECTS

Call = Callable[[OpenAICompatible, UpstreamRequest], Awaitable[Outcome]]
CONTINUING = [name for name, dialect in DIALECTS.items() if dialect.prefill is not Prefill.NONE]
REQUEST = a_request(deployment=Deployment(id="d", model="m", provider="p", upstream_name="m", prefills=True))
OLD_LIMIT = Quirks(max_tokens_field="max_tokens", stream_usage=False)


def model(dialect: str) -> SimulatedModel:
    return SimulatedModel(name="m", quality=0.9, dialect=DIALECTS[dialect])


@pytest.mark.parametrize("call", [completed, streamed])
@pytest.mark.parametrize("echo", [False, True])
@pytest.mark.parametrize("dialect", CONTINUING)
async def test_beginning_and_continuation_are_the_answer_without_an_echo(dialect: str, call: Call, echo: bool) -> None:
    known = DIALECTS[dialect].echoes_prefix
    quirks = replace(OLD_LIMIT, prefill=DIALECTS[dialect].prefill, echoes_prefix=known)
    async with Simulator([model(dialect)]) as simulator, a_provider(simulator.base_url, quirks=quirks) as provider:
        whole = (await call(provider, REQUEST)).reply.message().text
        begun = whole[: len(whole) // 2].rstrip()
        if echo:
            simulator.fail("m", Fault(kind=FaultKind.ECHO_PREFIX))
        rest = await call(provider, replace(REQUEST, prefix=begun))
        entry = simulator.journal[1]
    assert rest.error is None
    assert begun + rest.reply.message().text == whole == entry.intended
    assert entry.prefix == begun


async def test_a_model_that_refuses_a_beginning_lets_another_be_asked() -> None:
    for dialect in ("anthropic_4_6", "mistral"):
        quirks = replace(OLD_LIMIT, prefill=Prefill.PLAIN)
        async with Simulator([model(dialect)]) as simulator, a_provider(simulator.base_url, quirks=quirks) as provider:
            outcome = await streamed(provider, replace(REQUEST, prefix="The tides"))
        assert outcome.failure.fault is UpstreamFault.BAD_REQUEST
        assert may_fall_back(outcome.failure, on_content_filter=False)


PREFIX = "The tides follow the moon, and the moon"
ECHOING = Quirks(prefill=Prefill.PLAIN, echoes_prefix=True)


async def test_a_continuation_that_breaks_off_in_its_echo_has_no_output() -> None:
    outcome = await answer_to_request(replace(REQUEST, prefix=PREFIX), chunk(PREFIX[:20]), quirks=ECHOING)
    assert outcome.failure.fault is UpstreamFault.TRUNCATED
    assert not outcome.reply.has_output


async def test_an_answer_that_only_begins_like_its_beginning_is_whole() -> None:
    request = replace(REQUEST, prefix=PREFIX)
    outcome = await answer_to_request(request, chunk("The tides"), FINISH, DONE, quirks=ECHOING)
    assert outcome.text == "The tides"
    bare = replace(ECHOING, requires_finish_reason=False)
    outcome = await answer_to_request(request, chunk("The tides"), DONE, quirks=bare)
    assert outcome.text == "The tides"


async def test_a_short_beginning_that_comes_again_is_an_echo_only_of_a_provider_that_echoes() -> None:
    request = replace(REQUEST, prefix="No")
    outcome = await answer_to_request(request, chunk("No"), chunk(" way"), FINISH, DONE, quirks=ECHOING)
    assert outcome.text == " way"
    silent = replace(ECHOING, echoes_prefix=False)
    outcome = await answer_to_request(request, chunk("No"), chunk(" way"), FINISH, DONE, quirks=silent)
    assert outcome.text == "No way"


async def test_reasoning_is_no_echo() -> None:
    thought = chunk(reasoning_content=PREFIX)
    request = replace(REQUEST, prefix=PREFIX)
    outcome = await answer_to_request(request, thought, chunk(PREFIX + "!"), FINISH, DONE, quirks=ECHOING)
    assert (outcome.reasoning, outcome.text) == (PREFIX, "!")
