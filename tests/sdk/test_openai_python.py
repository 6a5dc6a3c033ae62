"""The official `openai` SDK for Python, unmodified, against a live router."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessageParam
from pydantic import BaseModel

from tests.sdk.sdk_router import KEY, NARROW_KEY, Sdk, sdk

DOCS = Path(__file__).parents[2] / "docs"

PROMPT: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Name three rivers of Europe."}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CLOCK: Any = {
    "type": "function",
    "function": {"name": "get_clock", "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}}},
}
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Sdk]:
    async with sdk(tmp_path) as found:
        yield found


async def test_a_chat_is_answered_with_usage_cost_and_path(live: Sdk) -> None:
    answered = await live.client().chat.completions.with_raw_response.create(model="auto", messages=PROMPT)
    completion = answered.parse()

    assert completion.choices[0].message.content == live.asked[0].intended
    assert completion.choices[0].finish_reason == "stop"
    assert completion.model == "gpt-4o"
    assert completion.usage is not None
    assert completion.usage.completion_tokens == live.asked[0].billed.output_tokens
    assert completion.system_fingerprint is None
    told = completion.model_extra["llmrouter"]  # type: ignore[index]
    assert told["deployment"] == "gpt-4o"
    assert Decimal(answered.headers["x-llmrouter-cost-usd"]) * 10**9 == told["cost_nano_usd"] > 0
    assert answered.headers["x-llmrouter-path"] == "gpt-4o=ok"
    assert completion._request_id == answered.headers["x-llmrouter-request-id"] == told["request_id"]


async def test_a_fallback_shows_in_the_path_and_is_paid_for_once(live: Sdk) -> None:
    live.router.simulator.fail("gpt-4o", "503", times=None)
    answered = await live.client().chat.completions.with_raw_response.create(model="auto", messages=PROMPT)
    assert answered.headers["x-llmrouter-path"] == "gpt-4o=503, gpt-4o=503, deepseek-chat=ok"
    assert answered.headers["x-llmrouter-attempts"] == "3"
    assert answered.headers["x-llmrouter-deployment"] == answered.parse().model == "deepseek-chat"


async def test_a_stream_tells_its_usage_and_cost_in_the_last_chunk(live: Sdk) -> None:
    stream = await live.client().chat.completions.create(
        model="auto", messages=PROMPT, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)

    assert text == live.asked[0].intended
    assert chunks[0].choices[0].delta.role == "assistant"
    assert len({chunk.id for chunk in chunks}) == 1
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert [chunk for chunk in chunks if chunk.usage] == [chunks[-1]]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == live.asked[0].billed.output_tokens
    assert chunks[-1].model_extra["llmrouter"]["cost_nano_usd"] > 0  # type: ignore[index]


async def test_a_stream_without_usage_has_no_chunk_without_choices(live: Sdk) -> None:
    stream = await live.client().chat.completions.create(model="auto", messages=PROMPT, stream=True)
    chunks = [chunk async for chunk in stream]
    told = stream.response.headers
    assert (told["x-llmrouter-deployment"], told["x-llmrouter-policy"]) == ("gpt-4o", "default")
    assert "x-llmrouter-repeated" not in told
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert chunks[-1].model_extra["llmrouter"]["deployment"] == "gpt-4o"  # type: ignore[index]


async def test_the_sdks_own_stream_helper_puts_the_answer_together(live: Sdk) -> None:
    async with live.client().chat.completions.stream(model="auto", messages=PROMPT) as stream:
        async for _ in stream:
            pass
        final = await stream.get_final_completion()
    assert final.choices[0].message.content == live.asked[0].intended


async def test_a_tool_call_and_its_result_go_back_and_forth(live: Sdk) -> None:
    client = live.client()
    messages: list[Any] = [{"role": "user", "content": "What is the weather in Oslo?"}]
    first = await client.chat.completions.create(model="auto", messages=messages, tools=[WEATHER])
    [call] = first.choices[0].message.tool_calls or []
    assert first.choices[0].finish_reason == "tool_calls"
    assert first.choices[0].message.content is None
    assert call.type == "function"
    assert call.function.name == "get_weather"
    assert "city" in json.loads(call.function.arguments)

    messages += [first.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "4 degrees"}]
    second = await client.chat.completions.create(model="auto", messages=messages, tools=[WEATHER])
    assert second.choices[0].message.content
    sent = live.asked[1].body["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "tool"]
    assert sent[1]["tool_calls"][0]["id"] == sent[2]["tool_call_id"] == call.id


@pytest.mark.parametrize("streamed", [False, True])
async def test_tools_are_called_in_parallel_unless_that_is_not_wanted(live: Sdk, streamed: bool) -> None:
    asking: dict[str, Any] = {
        "model": "auto",
        "messages": [{"role": "user", "content": "The weather in Oslo, and the clock there, please."}],
        "tools": [WEATHER, CLOCK],
    }
    assert await called(live, streamed, **asking) == ["get_weather", "get_clock"]
    assert await called(live, streamed, **asking, parallel_tool_calls=False) == ["get_weather"]


async def called(live: Sdk, streamed: bool, **asking: Any) -> list[str]:
    """The functions that the answer calls, each with arguments that are JSON."""
    completions = live.client().chat.completions
    if streamed:
        async with completions.stream(**asking) as stream:
            answer = await stream.get_final_completion()
    else:
        answer = await completions.create(**asking)
    calls = answer.choices[0].message.tool_calls or []
    assert all(isinstance(json.loads(call.function.arguments), dict) for call in calls)
    return [call.function.name for call in calls]


class River(BaseModel):
    name: str
    length_km: int


class Rivers(BaseModel):
    rivers: list[River]


async def test_an_answer_is_parsed_into_the_callers_own_type(live: Sdk) -> None:
    answered = await live.client().chat.completions.parse(model="auto", messages=PROMPT, response_format=Rivers)
    assert isinstance(answered.choices[0].message.parsed, Rivers)
    sent = live.asked[0].body["response_format"]["json_schema"]
    assert (sent["name"], sent["strict"]) == ("Rivers", True)
    assert sent["schema"]["additionalProperties"] is False


async def test_json_without_a_schema_is_json(live: Sdk) -> None:
    answered = await live.client().chat.completions.create(
        model="auto", messages=PROMPT, response_format={"type": "json_object"}
    )
    assert json.loads(answered.choices[0].message.content or "")


async def test_pictures_reach_the_provider_as_they_were_given(live: Sdk) -> None:
    content: list[Any] = [
        {"type": "text", "text": "What is on these?"},
        {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/river.png"}},
    ]
    await live.client().chat.completions.create(model="auto", messages=[{"role": "user", "content": content}])
    assert live.asked[0].body["messages"][0]["content"] == content


async def test_every_parameter_reaches_the_provider(live: Sdk) -> None:
    await live.client().chat.completions.create(
        model="auto",
        messages=[{"role": "developer", "content": "Be brief."}, *PROMPT],
        temperature=0.5,
        top_p=0.9,
        frequency_penalty=0.1,
        presence_penalty=-0.1,
        seed=7,
        stop=["END"],
        max_completion_tokens=50,
        logit_bias={"11": -100},
        verbosity="low",
        extra_body={"own_field": {"deep": [1]}},
    )
    sent = live.asked[0].body
    wanted = {
        "temperature": 0.5,
        "top_p": 0.9,
        "frequency_penalty": 0.1,
        "presence_penalty": -0.1,
        "seed": 7,
        "stop": ["END"],
        "max_completion_tokens": 50,
        "logit_bias": {"11": -100},
        "verbosity": "low",
        "own_field": {"deep": [1]},
    }
    assert {name: sent.get(name) for name in wanted} == wanted


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        ("auto", "gpt-4o"),
        ("deepseek-chat", "deepseek-chat"),
        ("policy:cheap", "deepseek-chat"),
        ("cheap", "deepseek-chat"),
    ],
)
async def test_a_model_may_be_a_model_a_policy_or_auto(live: Sdk, model: str, asked: str) -> None:
    await live.client().chat.completions.create(model=model, messages=PROMPT)
    assert live.asked[0].model == asked


@pytest.mark.parametrize(
    "said",
    [{"metadata": {"tier": "free"}}, {"extra_headers": {"x-llmrouter-tier": "free"}}],
    ids=["metadata", "header"],
)
async def test_metadata_and_headers_say_what_rules_match(live: Sdk, said: Any) -> None:
    answered = await live.client().chat.completions.create(model="auto", messages=PROMPT, **said)
    assert answered.model == "deepseek-chat"
    assert "metadata" not in live.asked[0].body


async def test_models_are_listed_and_looked_up(live: Sdk) -> None:
    client = live.client()
    listed = [model.id async for model in client.models.list()]
    assert listed == ["auto", "policy:alone", "policy:cheap", "policy:default", "deepseek-chat", "gpt-4o"]
    assert (await client.models.retrieve("policy:cheap")).owned_by == "llmrouter"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("gpt-99")
    narrow = [model.id async for model in live.client(NARROW_KEY).models.list()]
    assert narrow[-1] == "deepseek-chat"
    assert "gpt-4o" not in narrow


async def test_bad_requests_name_the_field_and_are_not_repeated(live: Sdk) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await live.client().chat.completions.create(model="auto", messages=PROMPT, n=2)
    error = caught.value
    assert (error.param, error.code, error.type) == ("n", "INVALID_REQUEST", "invalid_request_error")
    assert error.request_id
    assert live.asked == []


@pytest.mark.parametrize(
    ("key", "model", "kind", "code"),
    [
        ("rk_NobodyNobody_" + "0" * 48, "auto", openai.AuthenticationError, "UNAUTHENTICATED"),
        ("not-a-key", "auto", openai.AuthenticationError, "UNAUTHENTICATED"),
        (NARROW_KEY, "gpt-4o", openai.PermissionDeniedError, "PERMISSION_DENIED"),
        (None, "gpt-99", openai.NotFoundError, "MODEL_NOT_FOUND"),
        (None, "policy:none", openai.NotFoundError, "POLICY_NOT_FOUND"),
    ],
)
async def test_refusals_are_the_sdks_own_errors(
    live: Sdk, key: str | None, model: str, kind: type[openai.APIStatusError], code: str
) -> None:
    client = live.client() if key is None else live.client(key)
    with pytest.raises(kind) as caught:
        await client.chat.completions.create(model=model, messages=PROMPT)
    assert caught.value.code == code
    assert live.asked == []


@pytest.mark.parametrize("stream", [False, True])
async def test_the_sdk_does_not_repeat_what_the_router_has_tried(live: Sdk, stream: bool) -> None:
    """Two attempts at each of two candidates: a client that tried three times would make twelve."""
    live.router.simulator.fail(None, "503", times=None)
    with pytest.raises(openai.InternalServerError) as caught:
        await live.client(max_retries=2).chat.completions.create(model="auto", messages=PROMPT, stream=stream)
    assert (caught.value.status_code, caught.value.code) == (502, "ATTEMPTS_EXHAUSTED")
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert caught.value.response.headers["x-llmrouter-attempts"] == str(len(live.asked)) == "4"


async def test_what_was_never_sent_to_a_provider_the_sdk_repeats_when_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = {
        "address": "127.0.0.1:0",
        "lame_duck": "0s",
        "http": {"address": "127.0.0.1:0"},
        "max_concurrent_calls": 1,
    }
    async with sdk(tmp_path, server=server) as live:
        live.router.simulator.fail("gpt-4o", "silent")
        first = asyncio.create_task(live.client().chat.completions.create(model="alone", messages=PROMPT))
        await live.router.simulator.journal.wait_for(lambda entry: True)
        pauses: list[float] = []

        async def pause(seconds: float) -> None:
            pauses.append(seconds)
            first.cancel()
            await live.aborted()
            while live.router.application._server.in_flight:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0)

        monkeypatch.setattr(anyio, "sleep", pause)
        answered = await live.client(max_retries=2).chat.completions.create(model="alone", messages=PROMPT)
        assert answered.choices[0].message.content
        assert pauses == [1.0]


async def test_a_rate_limit_says_how_much_there_was_and_when_there_is_more(tmp_path: Path) -> None:
    async with sdk(tmp_path, limits={"few": {"requests": 1, "window": "1m", "per": "tenant"}}) as live:
        client = live.client(max_retries=0)
        first = await client.chat.completions.with_raw_response.create(model="auto", messages=PROMPT)
        assert first.headers["x-ratelimit-limit-requests"] == "1"
        assert first.headers["x-ratelimit-remaining-requests"] == "0"
        with pytest.raises(openai.RateLimitError) as caught:
            await client.chat.completions.create(model="auto", messages=PROMPT)
    headers = caught.value.response.headers
    assert (caught.value.code, caught.value.type) == ("RATE_LIMITED", "rate_limit_error")
    assert 0 < int(headers["retry-after-ms"]) <= 70_000
    assert headers["x-ratelimit-remaining-requests"] == "0"


async def test_a_spent_budget_is_not_asked_of_again(tmp_path: Path) -> None:
    async with sdk(tmp_path, budgets={"none": {"usd": 0.000001, "period": "day", "per": "tenant"}}) as live:
        with pytest.raises(openai.RateLimitError) as caught:
            await live.client(max_retries=2).chat.completions.create(model="alone", messages=PROMPT)
        assert (caught.value.code, caught.value.type) == ("BUDGET_EXHAUSTED", "insufficient_quota")
        assert caught.value.response.headers["x-should-retry"] == "false"
        assert live.asked == []


async def test_the_router_answers_before_the_sdk_loses_patience(live: Sdk) -> None:
    """Its own timeout would have the SDK repeat the call; told in time by the router, it does not.

    The SDK says its timeout in a header; here it says a shorter one, so that a busy machine decides nothing.
    """
    live.router.simulator.fail(None, "silent", times=None)
    client = live.client(max_retries=2)
    with pytest.raises(openai.InternalServerError) as caught:
        await client.chat.completions.create(
            model="alone", messages=PROMPT, extra_headers={"x-stainless-read-timeout": "0.2"}
        )
    assert (caught.value.status_code, caught.value.code) == (504, "DEADLINE_EXCEEDED")
    assert len(live.asked) == 1


async def test_a_stream_that_stalls_times_out_in_the_sdk_and_ends_at_the_provider(live: Sdk) -> None:
    live.router.simulator.fail("gpt-4o", "stall", after_tokens=3)
    stream = await live.client(timeout=1.0).chat.completions.create(model="alone", messages=PROMPT, stream=True)
    with pytest.raises(openai.APITimeoutError):
        async for _ in stream:
            pass
    await live.aborted()
    assert len(live.asked) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_a_cancelled_call_ends_at_the_provider(live: Sdk, stream: bool) -> None:
    live.router.simulator.fail("gpt-4o", "silent")
    asking = live.client().chat.completions.create(model="alone", messages=PROMPT, stream=stream)
    call = asyncio.create_task(asking)
    await live.router.simulator.journal.wait_for(lambda entry: True)
    call.cancel()
    entry = await live.aborted()
    assert entry.disconnected_at is not None
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_leaving_a_stream_in_its_midst_ends_it_at_the_provider(live: Sdk) -> None:
    live.router.simulator.fail("gpt-4o", "stall", after_tokens=3)
    stream = await live.client().chat.completions.create(model="alone", messages=PROMPT, stream=True)
    async with aclosing(stream):
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                break
    entry = await live.aborted()
    assert 0 < entry.tokens_sent <= 3


async def test_a_stream_that_breaks_after_output_raises_and_is_not_repeated(live: Sdk) -> None:
    live.router.simulator.fail("gpt-4o", "cut", after_tokens=3)
    stream = await live.client().chat.completions.create(model="alone", messages=PROMPT, stream=True)
    chunks = []
    with pytest.raises(openai.APIError) as caught:  # noqa: PT012 - what came before it counts
        async for chunk in stream:
            chunks.append(chunk)  # noqa: PERF401 - likewise
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert caught.value.code == "STREAM_TRUNCATED"
    assert text
    assert live.asked[0].intended.startswith(text)
    assert len(live.asked) == 1


async def test_a_repeat_under_a_key_gets_the_first_answer(live: Sdk) -> None:
    client = live.client()
    under_key: Any = {"extra_headers": {"Idempotency-Key": "k-1"}}
    first = await client.chat.completions.create(model="auto", messages=PROMPT, **under_key)
    again = await client.chat.completions.with_raw_response.create(model="auto", messages=PROMPT, **under_key)
    stream = await client.chat.completions.create(model="auto", messages=PROMPT, stream=True, **under_key)
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    repeated = stream.response.headers

    assert again.parse() == first
    assert again.headers["x-llmrouter-repeated"] == repeated["x-llmrouter-repeated"] == "true"
    assert (repeated["x-llmrouter-deployment"], repeated["x-llmrouter-policy"]) == ("gpt-4o", "default")
    assert text == first.choices[0].message.content
    assert len(live.asked) == 1
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(model="cheap", messages=PROMPT, **under_key)


async def test_the_blocking_client_works_too(live: Sdk) -> None:
    def talk() -> tuple[str, str]:
        client = openai.OpenAI(base_url=live.base_url, api_key=live.client().api_key)
        with client:
            whole = client.chat.completions.create(model="cheap", messages=PROMPT)
            stream = client.chat.completions.create(model="cheap", messages=PROMPT, stream=True)
            text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
        return whole.choices[0].message.content or "", text

    whole, text = await asyncio.to_thread(talk)
    assert whole == text == live.asked[0].intended


async def test_embeddings_are_refused_once(live: Sdk) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        await live.client(max_retries=2).embeddings.create(model="auto", input="river")
    assert caught.value.status_code == 501
    assert "does not serve embeddings" in caught.value.message


async def test_what_the_documentation_shows_is_what_runs(live: Sdk, capfd: pytest.CaptureFixture[str]) -> None:
    shown = re.search(r"```python\n(.*?)```", (DOCS / "openai-edge.md").read_text(), re.DOTALL)
    assert shown is not None
    code = shown[1].replace("http://127.0.0.1:8080/v1", live.base_url).replace("rk_...", KEY)
    await asyncio.to_thread(exec, code + "\nclient.close()\n", {})
    text, cost = capfd.readouterr().out.rsplit(maxsplit=1)
    assert text == live.asked[0].intended
    assert float(cost) > 0
    assert live.asked[0].model == "deepseek-chat"


@pytest.mark.parametrize("streamed", [False, True])
async def test_log_probabilities_come_with_the_text(live: Sdk, streamed: bool) -> None:
    completions = live.client().chat.completions
    asking: dict[str, Any] = {"model": "auto", "messages": PROMPT, "logprobs": True, "top_logprobs": 2}
    if streamed:
        async with completions.stream(**asking) as stream:
            answer: Any = await stream.get_final_completion()
    else:
        answer = await completions.create(**asking)
    [choice] = answer.choices
    assert "".join(token.token for token in choice.logprobs.content) == choice.message.content
    assert all(token.logprob <= 0 and len(token.top_logprobs) == 2 for token in choice.logprobs.content)
    plain = await completions.create(model="auto", messages=PROMPT)
    assert plain.choices[0].logprobs is None


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("asking", ["plain", "tools", "cut short", "likely"])
async def test_what_is_sent_has_exactly_the_sdks_types(live: Sdk, asking: str, streamed: bool) -> None:
    """The SDK takes whatever comes; its models, asked to be strict, do not."""
    more: dict[str, Any] = {
        "plain": {},
        "tools": {"tools": [WEATHER, CLOCK]},
        "cut short": {"max_completion_tokens": 2},
        "likely": {"logprobs": True, "top_logprobs": 1},
    }[asking]
    completions = live.client().chat.completions.with_raw_response
    if streamed:
        more = {**more, "stream": True, "stream_options": {"include_usage": True}}
    for headers in ({}, {"Idempotency-Key": "k"}, {"Idempotency-Key": "k"}):
        sent = await completions.create(model="auto", messages=PROMPT, extra_headers=headers, **more)
        said = await sent.http_response.aread()
        if not streamed:
            ChatCompletion.model_validate_json(said, strict=True)
            continue
        *events, done, rest = said.decode().split("\n\n")
        assert (done, rest) == ("data: [DONE]", "")
        chunks = [
            ChatCompletionChunk.model_validate_json(event.removeprefix("data: "), strict=True) for event in events
        ]
        assert [index for index, chunk in enumerate(chunks) if chunk.choices and chunk.choices[0].delta.role] == [0]


async def test_an_experiments_arm_is_told_and_questions_of_the_router_are_no_steps(tmp_path: Path) -> None:
    policy = {
        "classifier": {"use": "llm", "llm": {"use": "deepseek-chat", "timeout": "20s"}},
        "experiments": {"try": {"arms": {"one": {"weight": 1, "use": "gpt-4o"}, "none": {"weight": 0}}}},
        "rules": [{"use": ["gpt-4o"]}],
    }
    async with sdk(tmp_path, policies={"default": policy}) as live:
        asking: Any = {"model": "auto", "messages": PROMPT, "user": "u-1"}
        answered = await live.client().chat.completions.with_raw_response.create(**asking)
    told = answered.parse().model_extra["llmrouter"]  # type: ignore[index]
    assert (told["experiment"], told["arm"], told["arm_honoured"]) == ("try", "one", True)
    assert [attempt["reason"] for attempt in told["attempts"]] == ["classifier", "primary"]
    assert (answered.headers["x-llmrouter-path"], answered.headers["x-llmrouter-attempts"]) == ("gpt-4o=ok", "1")
