"""The error taxonomy, row by row over real channels: who is asked next, what is billed, what the caller gets."""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing
from dataclasses import dataclass, field

import pytest
from staged_router import staged

from llmrouter import RateLimited

CONFIGURATION = """
server: {address: "127.0.0.1:0", lame_duck: 0s}
providers:
  one: {base_url: "${SIMULATOR_URL}/one/v1", api_key: sk-one, max_connections: 1}
  two: {base_url: "${SIMULATOR_URL}/two/v1", api_key: sk-two}
  three: {base_url: "${SIMULATOR_URL}/three/v1", api_key: sk-three}
models:
  plain: {provider: one, context_window: 8000, price: {input: 2.50, output: 10.00}}
  other: {provider: two, context_window: 8000, price: {input: 1.00, output: 3.00}}
  large: {provider: three, context_window: 128000, price: {input: 1.00, output: 3.00}}
policies:
  alone: {timeouts: &t {connect: 500ms, first_token: 500ms, stall: 500ms}, retries: &r {same_deployment: 3, backoff_initial: 1ms, backoff_max: 2ms}, rules: [{use: plain}]}
  pair: {timeouts: *t, retries: *r, rules: [{use: [plain, other]}]}
  sizes: {timeouts: *t, retries: *r, rules: [{use: [plain, other, large]}]}
  lenient: {timeouts: *t, retries: *r, fallback_on_content_filter: true, rules: [{use: [plain, other]}]}
  restarting: {timeouts: *t, retries: *r, recovery: restart, rules: [{use: [plain, other]}]}
features:
  small: {max_output_tokens: 10}
default_policy: pair
"""  # noqa: E501
NEVER, ONCE, OFTEN = 1, 2, 4
NO, MAYBE = "UNBILLED", "INDETERMINATE"
EXHAUSTED = ("UNAVAILABLE", "ATTEMPTS_EXHAUSTED")
KEY_REFUSED = ("INTERNAL", "PROVIDER_REFUSES_KEY")
REJECTED = ("INVALID_ARGUMENT", "UPSTREAM_REJECTED")
TOO_LONG = ("INVALID_ARGUMENT", "CONTEXT_TOO_LONG")
FILTERED = ("FAILED_PRECONDITION", "CONTENT_FILTERED")


@dataclass(frozen=True, slots=True)
class Row:
    """`tries` at the same deployment where it fails for ever; `ends` the call with nobody else left."""

    fault: str
    tries: int
    falls_back: bool
    billed: str
    ends: tuple[str, str]
    particulars: dict[str, object] = field(default_factory=dict)


ROWS = {
    "429 rate": Row("rate_limited", OFTEN, True, NO, EXHAUSTED),
    "429 rate, the hint fits": Row("rate_limited_ms", OFTEN, True, NO, EXHAUSTED, {"seconds": 0.001}),
    "429 rate, the hint does not fit": Row("rate_limited_seconds", NEVER, True, NO, EXHAUSTED, {"seconds": 90}),
    "429 insufficient_quota": Row("insufficient_quota", NEVER, True, NO, EXHAUSTED),
    "429 daily": Row("daily_quota", NEVER, True, NO, EXHAUSTED),
    "500": Row("500", OFTEN, True, MAYBE, EXHAUSTED),
    "502": Row("502", OFTEN, True, MAYBE, EXHAUSTED),
    "503": Row("503", OFTEN, True, MAYBE, EXHAUSTED),
    "520": Row("520", OFTEN, True, MAYBE, EXHAUSTED),
    "529": Row("529", OFTEN, True, MAYBE, EXHAUSTED),
    "504": Row("504", ONCE, True, MAYBE, EXHAUSTED),
    "524": Row("524", ONCE, True, MAYBE, EXHAUSTED),
    "silent after the send": Row("silent", NEVER, True, MAYBE, EXHAUSTED),
    "lost after the send": Row("close_before_headers", ONCE, True, MAYBE, EXHAUSTED),
    "401": Row("401", NEVER, True, NO, KEY_REFUSED),
    "403": Row("403", NEVER, True, NO, KEY_REFUSED),
    "404 model": Row("404", NEVER, True, NO, EXHAUSTED),
    "context length": Row("context_length", NEVER, False, NO, TOO_LONG),
    "other 400": Row("400", NEVER, False, NO, REJECTED),
    "422 of the dialect": Row("422", NEVER, True, NO, REJECTED),
    "content filter": Row("content_filter", NEVER, False, MAYBE, FILTERED),
    "bad JSON with 200": Row("bad_json", ONCE, True, MAYBE, EXHAUSTED),
    "HTML with 200": Row("html", ONCE, True, MAYBE, EXHAUSTED),
    "in-band 504 before output": Row("in_band_error", ONCE, True, MAYBE, EXHAUSTED),
    "truncated before output": Row("end_without_finish", ONCE, True, MAYBE, EXHAUSTED),
}
every_row = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
both_ways = pytest.mark.parametrize("way", ["unary", "stream"])


@both_ways
@every_row
async def test_the_same_deployment_is_asked_again_as_often_as_its_row_says(tmp_path, way, row):
    async with staged(tmp_path, CONFIGURATION) as router:
        router.simulator.fail("plain", row.fault, times=None, **row.particulars)
        call = await router.call(way, policy="alone")
        assert (call.code, call.reason) == row.ends
        assert call.asked == ["plain"] * row.tries
        assert len(router.entries()) == row.tries
        assert set(call.cost_statuses) == {row.billed}


@both_ways
@every_row
async def test_the_next_candidate_is_asked_where_its_row_says_so(tmp_path, way, row):
    async with staged(tmp_path, CONFIGURATION) as router:
        router.simulator.fail("plain", row.fault, times=None, **row.particulars)
        call = await router.call(way)
        if row.falls_back:
            assert call.code == "OK"
            assert call.asked[-1] == "other"
            assert call.cost_statuses[-1] == "ACTUAL"
            assert call.text == router.entries("two")[0].intended
        else:
            assert (call.code, call.reason) == row.ends
            assert not router.entries("two")


@both_ways
@pytest.mark.parametrize("url", ["refused", "unknown host", "no TLS"])
async def test_what_cannot_be_connected_to_is_asked_again_falls_back_and_bills_nothing(tmp_path, way, url):
    with closing(socket.socket()) as holder:
        holder.bind(("127.0.0.1", 0))
        listener = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        first_url = {
            "refused": f"http://127.0.0.1:{holder.getsockname()[1]}/v1",
            "unknown host": "http://-nobody.invalid/v1",
            "no TLS": f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1",
        }[url]
        async with listener, staged(tmp_path, CONFIGURATION.replace("${SIMULATOR_URL}/one/v1", first_url)) as router:
            alone = await router.call(way, request_id="alone", policy="alone")
            assert (alone.code, alone.reason) == EXHAUSTED
            assert alone.asked == ["plain"] * OFTEN
            assert set(alone.cost_statuses) == {NO}
            pair = await router.call(way, request_id="pair")
            assert pair.code == "OK"
            assert pair.asked[-1] == "other"


@both_ways
async def test_a_pool_without_a_free_connection_bills_nothing_and_falls_back(tmp_path, way):
    async with staged(tmp_path, CONFIGURATION.replace("first_token: 500ms", "first_token: 30s")) as router:
        router.simulator.fail("plain", "silent", times=None)
        holding = asyncio.create_task(router.call("unary", request_id="holding", policy="alone"))
        await router.simulator.journal.wait_for(lambda entry: entry.provider == "one")
        call = await router.call(way)
        assert call.asked[-1] == "other"
        assert set(call.cost_statuses[:-1]) == {NO}
        assert len(router.entries("one")) == 1
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)


@both_ways
async def test_a_prompt_too_long_goes_to_a_larger_context_only(tmp_path, way):
    async with staged(tmp_path, CONFIGURATION) as router:
        router.simulator.fail("plain", "context_length", times=None)
        call = await router.call(way, policy="sizes")
        assert call.asked == ["plain", "large"]
        assert call.code == "OK"


@both_ways
async def test_a_filtered_prompt_goes_on_where_the_policy_says_so(tmp_path, way):
    async with staged(tmp_path, CONFIGURATION) as router:
        router.simulator.fail("plain", "content_filter", times=None)
        call = await router.call(way, policy="lenient")
        assert call.asked == ["plain", "other"]
        assert call.code == "OK"


BROKEN = [
    ("end_without_finish", {}),
    ("done_without_finish", {}),
    ("reset", {}),
    ("stall", {}),
    ("in_band_error", {"style": "vllm"}),
    ("in_band_error", {"style": "openrouter"}),
    ("in_band_error", {"style": "anthropic"}),
    ("bad_json", {}),
]
every_break = pytest.mark.parametrize(("fault", "particulars"), BROKEN)


@every_break
async def test_a_stream_broken_after_output_is_billed_and_never_silent(tmp_path, fault, particulars):
    async with staged(tmp_path, CONFIGURATION) as router:
        router.simulator.fail("plain", fault, after_tokens=3, times=None, **particulars)
        call = await router.call("stream")
        assert (call.code, call.reason) == ("UNAVAILABLE", "STREAM_TRUNCATED")
        assert call.text
        assert call.asked == ["plain"]
        assert call.cost_statuses == ["PARTIAL"]
        assert call.receipt.cost_nano_usd > 0


@every_break
async def test_a_restart_after_output_is_announced_and_nothing_is_read_twice(tmp_path, fault, particulars):
    async with staged(tmp_path, CONFIGURATION) as router:
        router.simulator.fail("plain", fault, after_tokens=3, times=None, **particulars)
        call = await router.call("stream", policy="restarting", accept_discard=True)
        assert call.code == "OK"
        assert call.discards == len(call.asked) - 1
        assert call.text == router.entries("two")[0].intended
        assert call.cost_statuses[0] == "PARTIAL"


@every_break
async def test_a_unary_call_recovers_from_what_broke_after_output(tmp_path, fault, particulars):
    async with staged(tmp_path, CONFIGURATION) as router:
        router.simulator.fail("plain", fault, after_tokens=3, times=None, **particulars)
        call = await router.call("unary")
        assert call.code == "OK"
        assert call.text == router.entries("two")[0].intended
        assert set(call.cost_statuses[:-1]) == {"PARTIAL"}


async def answered(client):
    await client.complete("Hello")


async def streamed(client):
    async for _ in client.stream("Hello"):
        pass


@both_ways
async def test_our_own_limit_asks_nobody_and_says_when_to_come_back(tmp_path, way):
    configuration = CONFIGURATION.replace("lame_duck: 0s", "lame_duck: 0s, max_concurrent_calls: 1")
    async with staged(tmp_path, configuration.replace("first_token: 500ms", "first_token: 30s")) as router:
        router.simulator.fail("plain", "silent", times=None)
        holding = asyncio.create_task(router.client.complete("Hello", policy="alone"))
        await router.simulator.journal.wait_for(lambda entry: entry.provider == "one")
        with pytest.raises(RateLimited) as raised:
            await (answered if way == "unary" else streamed)(router.client)
        assert raised.value.reason == "OVERLOADED"
        assert raised.value.retry_after is not None
        assert len(router.entries()) == 1
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)
