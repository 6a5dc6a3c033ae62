"""What other gateways did to their users, as regression tests over a real channel; each names the issues it is about.

Those about limits and budgets belong to the tests of limits, budgets and the ledger: litellm #34732, #36926 (races),
#27639 (leaked reservations), #30460 (drifting counters), #35273 (a hanging Redis), #18730 (a token limit passed by far)
and Bifrost #5673 (budgets not enforced). vLLM semantic-router #913 (a cache hit corrupts a stream) waits for a cache of
answers.
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc

import pytest
from staged_router import PROMPT, staged

from llmrouter.v1 import receipt_pb2
from router_service.simulator.journal import Outcome
from tests.loop_clock import leap, on_the_loops_clock

CONFIGURATION = """
server: {address: "127.0.0.1:0", lame_duck: 0s, grace: 50ms, receipts_kept: 20}
providers:
  one: {base_url: "${SIMULATOR_URL}/one/v1", api_key: sk-one}
  two: {base_url: "${SIMULATOR_URL}/two/v1", api_key: sk-two}
models:
  plain: {provider: one, price: {input: 2.50, cached_input: 0.25, output: 10.00}}
  other: {provider: two, price: {input: 1.00, output: 3.00}}
policies:
  pair: {retries: {same_deployment: 0}, rules: [{use: [plain, other]}]}
  alone: {retries: {same_deployment: 0}, rules: [{use: plain}]}
  insistent: {retries: {same_deployment: 2, backoff_initial: 1ms}, rules: [{use: plain}]}
  restarting: {retries: {same_deployment: 0}, recovery: restart, rules: [{use: [plain, other]}]}
  watchful: {retries: {same_deployment: 0}, recovery: restart, timeouts: {stall: 500ms}, rules: [{use: [plain, other]}]}
default_policy: pair
"""
PLAIN = {"input": 2_500, "cached": 250, "output": 10_000}
OTHER = {"input": 1_000, "cached": 1_000, "output": 3_000}
both_ways = pytest.mark.parametrize("way", ["unary", "stream"])
broken = pytest.mark.parametrize("fault", ["end_without_finish", "reset", "bad_json", "in_band_error"])


@pytest.fixture
async def router(tmp_path):
    async with staged(tmp_path, CONFIGURATION) as router:
        yield router


def price(usage, rates):
    """What the provider bills for what its journal says, in nano-USD."""
    uncached = usage.input_tokens - usage.cached_input_tokens
    return (
        uncached * rates["input"] + usage.cached_input_tokens * rates["cached"] + usage.output_tokens * rates["output"]
    )


@both_ways
@pytest.mark.parametrize(("fault", "tokens"), [("silent", 0), ("stall", 0), ("stall", 3)])
async def test_a_client_that_leaves_takes_the_upstream_call_with_it(router, way, fault, tokens):
    """litellm #13774, #30223, #37140: before the headers, before the first token and after it."""
    router.simulator.fail("plain", fault, after_tokens=tokens, times=None)
    task = asyncio.create_task(router.call(way))
    entry = await router.simulator.journal.wait_for(
        lambda seen: fault == "silent" or (seen.status is not None and seen.tokens_sent >= tokens)
    )
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await router.simulator.journal.wait_for(lambda seen: seen is entry and seen.disconnected_at is not None)
    assert entry.outcome is Outcome.ABORTED
    receipt = await router.receipt("call")
    assert receipt.status == "CANCELLED"
    assert [attempt.deployment for attempt in receipt.attempts] == ["plain"]
    assert not router.entries("two")


@both_ways
async def test_an_answer_costs_what_its_provider_bills(router, way):
    """litellm #37923, Bifrost #904: streamed or not, and tokens of the provider's cache at their own price."""
    prompt = PROMPT * 100
    for number in range(2):
        call = await router.call(way, request_id=f"call-{number}", prompt=prompt)
        billed = router.entries("one")[number].billed
        assert call.receipt.cost_nano_usd == price(billed, PLAIN)
    assert billed.cached_input_tokens > 0


@both_ways
@broken
async def test_every_attempt_is_on_the_bill_also_those_that_broke(router, way, fault):
    """litellm #33736, #36008, #37992, TensorZero #475: what was said before the break was paid for."""
    router.simulator.fail("plain", fault, after_tokens=4)
    call = await router.call(way, policy="restarting", accept_discard=True)
    cut, whole = call.receipt.attempts
    assert receipt_pb2.CostStatus.Name(cut.cost_status) == "COST_STATUS_PARTIAL"
    assert 0 < cut.usage.output_tokens <= router.entries("one")[0].billed.output_tokens + 2
    assert whole.cost_nano_usd == price(router.entries("two")[0].billed, OTHER)
    assert call.receipt.cost_nano_usd == cut.cost_nano_usd + whole.cost_nano_usd


@both_ways
async def test_what_was_spent_on_a_call_that_was_cancelled_is_known(router, way):
    """litellm #34805, #38157."""
    router.simulator.fail("plain", "stall", after_tokens=5, times=None)
    task = asyncio.create_task(router.call(way))
    await router.entry("one", tokens=5)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    receipt = await router.receipt("call")
    assert receipt.cost_nano_usd > 0
    assert receipt.status == "CANCELLED"


@both_ways
async def test_what_was_spent_on_a_call_that_a_shutdown_ended_is_known(router, way):
    """litellm #34820."""
    tenant = (await router.call("unary", request_id="first", policy="alone")).receipt.tenant
    router.simulator.fail("plain", "stall", after_tokens=5, times=None)
    task = asyncio.create_task(router.call(way))
    await router.simulator.journal.wait_for(lambda seen: seen.tokens_sent >= 5 and seen.outcome is Outcome.OPEN)
    await router.application.stop()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    receipt = router.application.engine.receipt(tenant, "call")
    assert receipt is not None
    assert len(receipt.attempts) == 1
    assert receipt.cost > 0


@both_ways
async def test_silence_from_the_first_byte_costs_a_share_of_the_deadline(router, way):
    """litellm #38358."""
    router.simulator.fail("plain", "silent", times=None)
    on_the_loops_clock(router.application.engine)
    calling = asyncio.create_task(router.call(way, timeout=40.0))
    await router.simulator.journal.wait_for(lambda seen: seen.provider == "one")
    leap(21.0)
    call = await calling
    assert call.receipt.attempts[0].error_type == "first_token_timeout"
    # Half of the deadline, and not the half a minute that any provider has.
    assert call.receipt.attempts[0].duration.seconds < 30
    assert (call.code, call.asked) == ("OK", ["plain", "other"])


@both_ways
@pytest.mark.parametrize("style", ["vllm", "openrouter", "openrouter_finish", "anthropic", "groq", "llama_cpp"])
async def test_an_error_inside_a_200_is_no_success(router, way, style):
    """litellm #24005."""
    router.simulator.fail("plain", "in_band_error", style=style, times=None)
    call = await router.call(way, policy="alone")
    assert call.code != "OK"
    assert call.receipt.status == call.code
    assert call.receipt.attempts[0].outcome == receipt_pb2.ATTEMPT_OUTCOME_ERROR


@both_ways
@pytest.mark.parametrize("style", ["vllm", "openrouter", "anthropic"])
async def test_an_error_inside_a_200_does_not_skip_the_fallback(router, way, style):
    """Portkey #1047."""
    router.simulator.fail("plain", "in_band_error", style=style, times=None)
    call = await router.call(way)
    assert (call.code, call.asked) == ("OK", ["plain", "other"])


@both_ways
@pytest.mark.parametrize("tokens", [0, 3, 10_000])
async def test_the_end_of_the_bytes_is_not_a_stop(router, way, tokens):
    """litellm #40260, Portkey #1797: also where everything but the finish reason arrived."""
    router.simulator.fail("plain", "end_without_finish", after_tokens=tokens, times=None)
    call = await router.call(way, policy="alone")
    assert call.code == "UNAVAILABLE"
    assert call.receipt.finish_reason == 0


@both_ways
@pytest.mark.parametrize("fault", ["end_without_finish", "reset", "stall", "bad_json"])
async def test_a_configured_fallback_answers_after_a_cut_a_stall_or_a_bad_chunk(router, way, fault):
    """litellm #40404, Bifrost #5395, TensorZero #6328, vLLM semantic-router #2294: at another model, past the first
    chunk too.
    """
    router.simulator.fail("plain", fault, after_tokens=3, times=None)
    call = await router.call(way, policy="watchful", accept_discard=True)
    assert (call.code, call.asked) == ("OK", ["plain", "other"])
    assert call.text == router.entries("two")[0].intended


async def test_cooling_again_keeps_the_longer_of_two_cooldowns(router):
    """litellm #40130."""
    router.simulator.fail("plain", "rate_limited_seconds", seconds=100)
    router.simulator.fail("plain", "rate_limited_seconds", seconds=2)
    calls = [router.call("unary", request_id=f"call-{number}", policy="alone") for number in range(2)]
    await asyncio.gather(*calls)
    later = await router.call("unary", request_id="later", policy="alone")
    assert later.reason == "ALL_CANDIDATES_COOLING"
    assert later.retry_after > 90
    assert not later.asked


@both_ways
async def test_attempts_are_no_operations(router, way):
    """litellm #39455: one account of a call, in which each attempt has an id of its own that its provider saw too."""
    router.simulator.fail("plain", "503")
    call = await router.call(way)
    ids = [attempt.attempt_id for attempt in call.receipt.attempts]
    assert ids == [entry.attempt_id for entry in router.entries()]
    assert len({one.rpartition("-")[0] for one in ids}) == 1
    assert [attempt.number for attempt in call.receipt.attempts] == [1, 2]
    assert call.receipt.usage.output_tokens == sum(attempt.usage.output_tokens for attempt in call.receipt.attempts)


@both_ways
async def test_memory_is_flat_over_many_calls(router, way):
    """litellm #12685, #27954."""

    async def many(calls):
        for number in range(calls):
            await router.call(way, request_id=f"call-{number}")
        router.simulator.journal.clear()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = await many(60)
        after = await many(120)
    finally:
        tracemalloc.stop()
    assert after - before < 120 * 4096


@both_ways
async def test_only_one_layer_retries(router, way):
    """litellm #7130: two retries make three requests, whatever the client's own policy says."""
    router.simulator.fail("plain", "503", times=None)
    call = await router.call(way, policy="insistent")
    assert call.code == "UNAVAILABLE"
    assert len(router.entries()) == 3


@both_ways
@pytest.mark.parametrize("fault", ["400", "401", "429", "500", "html", "bad_json", "reset_before_headers", "huge_line"])
async def test_every_error_ends_the_call_with_a_reason(router, way, fault):
    """Envoy AI Gateway #840: an error must not leave the client waiting."""
    router.simulator.fail("plain", fault, times=None)
    call = await router.call(way, policy="alone", timeout=30.0)
    assert call.code not in {"OK", "DEADLINE_EXCEEDED", "UNKNOWN"}
    assert call.reason
    assert call.receipt.error_reason == call.reason


@both_ways
async def test_a_stream_of_nothing_is_no_answer(router, way):
    """Envoy AI Gateway #1894."""
    router.simulator.fail("plain", "end_without_finish", times=None)
    call = await router.call(way)
    assert (call.code, call.asked) == ("OK", ["plain", "other"])
    assert call.text
