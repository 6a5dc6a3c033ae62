"""One request's whole answer, planned before a byte of it is sent: text, tool calls, finish reason, usage."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import msgspec

from router_service.domain.money import Usage
from router_service.simulator import prefill, tokens
from router_service.simulator.answers import answer, difficulty, thoughts
from router_service.simulator.logprobs import Scored, scored, wanted
from router_service.simulator.models import SimulatedModel
from router_service.simulator.refusal import Refused
from router_service.simulator.structured import instance

_SEPARATORS = "\u2028\u2029\u0085"


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """A tool call; `arguments` is JSON text in tokens."""

    id: str
    name: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A planned answer. `reasoning` and `text` are in tokens; `usage` is for the whole of it.

    `prefix` is the beginning that the request gave and `text` goes on from; `echo` is sent before `text` at no charge.
    `scores` are of each token of `text` where the request asks for log-probabilities, else `None`.
    """

    reasoning: tuple[str, ...]
    text: tuple[str, ...]
    calls: tuple[Called, ...]
    finish_reason: str
    usage: Usage
    prefix: str = ""
    echo: str = ""
    scores: tuple[Scored, ...] | None = None

    @property
    def output_tokens(self) -> int:
        """How many tokens leave, one by one, when it is streamed."""
        return len(self.reasoning) + len(self.text) + sum(len(call.arguments) for call in self.calls)

    def usage_after(self, sent: int) -> Usage:
        """What is billed once `sent` output tokens were produced."""
        return Usage(
            input_tokens=self.usage.input_tokens,
            cached_input_tokens=self.usage.cached_input_tokens,
            output_tokens=sent,
            reasoning_tokens=min(sent, len(self.reasoning)),
        )


class PromptCache:
    """Which prompt prefixes a provider has seen lately, per model."""

    def __init__(self, size: int = 4096) -> None:
        self._size = size
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def cached_tokens(self, model: SimulatedModel, messages: Sequence[Mapping[str, Any]]) -> int:
        """How many tokens of the prompt are a prefix seen before, in whole blocks; remembers this prompt."""
        digest = hashlib.blake2b(f"{model.provider}/{model.name}".encode(), digest_size=16)
        total = cached = 0
        for message in messages:
            digest.update(msgspec.json.encode(message))
            total += tokens.count_message(message)
            key = digest.digest()
            if key in self._seen:
                cached = total
                self._seen.move_to_end(key)
            else:
                self._seen[key] = None
        while len(self._seen) > self._size:
            self._seen.popitem(last=False)
        return cached - cached % model.cache_block_tokens


def complete(model: SimulatedModel, body: Mapping[str, Any], cache: PromptCache) -> Completion:
    """The answer of `model` to a chat request. Raises `Refused` where a provider would."""
    messages = _messages(body)
    begun, prefix = prefill.begun(model, messages, body)
    tools = body.get("tools") or []
    _check(model, messages, tools, body)
    top = wanted(body, reasoning=model.reasoning, dialect=model.dialect)
    prompt_tokens = sum(map(tokens.count_message, messages)) + tokens.count_tools(tools)
    limit = _limit(body, model)
    if prompt_tokens + (limit or 0) > model.context_window:
        raise Refused(
            400,
            f"This model's maximum context length is {model.context_window} tokens. However, you requested"
            f" {prompt_tokens + (limit or 0)} tokens ({prompt_tokens} in the messages, {limit or 0} in the completion)."
            " Please reduce the length of the messages or completion.",
            code="context_length_exceeded",
            param="messages",
        )
    rng = Random(_seed(model, begun, body))  # noqa: S311 - variety, not security
    plan = _Plan(model, begun, body, rng)
    reasoning = plan.reasoning()
    calls = plan.calls(tools)
    text = () if calls else plan.text()
    if prefix:
        reasoning, calls, text = (), (), prefill.continuation(plan.text() if calls else text, prefix)
    ceiling = min(limit or model.max_output_tokens, model.max_output_tokens)
    cached = cache.cached_tokens(model, messages)
    bounded = _bounded(reasoning, text, calls, ceiling=ceiling, prompt_tokens=prompt_tokens, cached=cached)
    return replace(
        bounded,
        prefix=prefix,
        echo=prefix if model.dialect.echoes_prefix else "",
        scores=None if top is None else plan.scores(bounded.text, top),
    )


def echoed(completion: Completion) -> Completion:
    """The same answer from a provider that repeats the beginning it goes on from."""
    return replace(completion, echo=completion.prefix)


def separated(completion: Completion) -> Completion:
    """The same answer with a character after each token that some take for the end of a line."""
    return replace(
        completion,
        text=tuple(piece + _SEPARATORS[number % len(_SEPARATORS)] for number, piece in enumerate(completion.text)),
    )


class _Plan:
    def __init__(
        self, model: SimulatedModel, messages: Sequence[Mapping[str, Any]], body: Mapping[str, Any], rng: Random
    ) -> None:
        self._model = model
        self._body = body
        self._rng = rng
        self._last = messages[-1]
        self._prompt = next((tokens.text_of(one) for one in reversed(messages) if one.get("role") == "user"), "")
        self._system = " ".join(tokens.text_of(one) for one in messages if one.get("role") in {"system", "developer"})
        self._sees_image = any(map(tokens.has_image, messages))

    def reasoning(self) -> tuple[str, ...]:
        if not self._model.reasoning:
            return ()
        effort = str(self._body.get("reasoning_effort") or "medium")
        return tuple(tokens.pieces(thoughts(self._prompt, effort=effort, rng=self._rng)))

    def text(self) -> tuple[str, ...]:
        wanted = self._body.get("response_format") or {}
        if wanted.get("type") == "json_schema":
            schema = (wanted.get("json_schema") or {}).get("schema")
            return tuple(tokens.pieces(_json(instance(schema, self._prompt, self._rng))))
        said = answer(
            self._prompt,
            system=self._system,
            quality=self._model.quality,
            rng=self._rng,
            sees_image=self._sees_image,
        )
        if wanted.get("type") == "json_object":
            said = _json({"answer": said})
        stops = self._body.get("stop") or ()
        for stop in (stops,) if isinstance(stops, str) else stops:
            said = said.partition(stop)[0] if stop else said
        return tuple(tokens.pieces(said))

    def scores(self, text: Sequence[str], top: int) -> tuple[Scored, ...]:
        margin = self._model.quality - 0.55 * difficulty(self._prompt)
        return scored(text, margin=min(1.0, max(0.0, margin)), top=top, rng=self._rng)

    def calls(self, tools: Sequence[Any]) -> tuple[Called, ...]:
        functions = [tool["function"] for tool in tools if tool.get("type") == "function"]
        chosen = self._chosen(functions, self._body.get("tool_choice") or "auto")
        if not self._body.get("parallel_tool_calls", True):
            chosen = chosen[:1]
        return tuple(
            Called(
                id=f"call_{self._rng.getrandbits(64):016x}",
                name=function["name"],
                arguments=tuple(
                    tokens.pieces(_json(instance(function.get("parameters") or {}, self._prompt, self._rng)))
                )
                or ("{}",),
            )
            for function in chosen
        )

    def _chosen(self, functions: list[Any], choice: object) -> list[Any]:
        if isinstance(choice, dict):
            name = (choice.get("function") or {}).get("name")
            return [function for function in functions if function["name"] == name]
        if choice == "none" or not functions:
            return []
        asked = [function for function in functions if self._asks_for(function)]
        if choice in {"required", "any"}:
            return asked or functions[:1]
        # With a tool's result at hand it is time to answer.
        return [] if self._last.get("role") == "tool" else asked

    def _asks_for(self, function: Mapping[str, Any]) -> bool:
        prompt = self._prompt.lower()
        words = [word for word in str(function["name"]).lower().replace("-", "_").split("_") if len(word) > 3]
        return any(word in prompt for word in words)


def _bounded(
    reasoning: tuple[str, ...],
    text: tuple[str, ...],
    calls: tuple[Called, ...],
    *,
    ceiling: int,
    prompt_tokens: int,
    cached: int,
) -> Completion:
    left = ceiling - len(reasoning)
    kept_text = text[: max(0, left)]
    kept_calls = []
    for call in calls:
        if left > 0:
            kept_calls.append(Called(id=call.id, name=call.name, arguments=call.arguments[:left]))
        left -= len(call.arguments)
    wanted = len(reasoning) + len(text) + sum(len(call.arguments) for call in calls)
    finish = "length" if wanted > ceiling else "tool_calls" if calls else "stop"
    kept_reasoning = reasoning[:ceiling]
    output = len(kept_reasoning) + len(kept_text) + sum(len(call.arguments) for call in kept_calls)
    return Completion(
        reasoning=kept_reasoning,
        text=kept_text,
        calls=tuple(kept_calls),
        finish_reason=finish,
        usage=Usage(
            input_tokens=prompt_tokens,
            output_tokens=output,
            cached_input_tokens=cached,
            reasoning_tokens=len(kept_reasoning),
        ),
    )


def _messages(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
        raise Refused(400, "'messages' must be a non-empty array of objects.", param="messages")
    return messages


def _check(
    model: SimulatedModel, messages: Sequence[Mapping[str, Any]], tools: object, body: Mapping[str, Any]
) -> None:
    if refused := sorted(model.dialect.refused_fields & set(body)):
        raise Refused(422, "Extra inputs are not permitted", code="extra_forbidden", param=refused[0])
    if tools and not model.tools:
        raise Refused(400, f"{model.name} does not support tools", code="unsupported_parameter", param="tools")
    if not model.vision and any(map(tokens.has_image, messages)):
        raise Refused(400, f"{model.name} does not support images", code="unsupported_value", param="messages")


def _limit(body: Mapping[str, Any], model: SimulatedModel) -> int | None:
    stated = body.get("max_completion_tokens", body.get("max_tokens"))
    if stated is None:
        return None
    if not isinstance(stated, int) or stated < 1 or stated > model.max_output_tokens:
        raise Refused(
            400,
            f"max_tokens must be from 1 to {model.max_output_tokens} for {model.name}.",
            code="invalid_value",
            param="max_tokens",
        )
    return stated


def _seed(model: SimulatedModel, messages: Sequence[Mapping[str, Any]], body: Mapping[str, Any]) -> int:
    said = msgspec.json.encode([model.name, messages, body.get("seed")])
    return int.from_bytes(hashlib.blake2b(said, digest_size=8).digest())


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
