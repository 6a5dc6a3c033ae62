"""HTTP requests to the domain's calls, checked: who asks and what for in headers, `metadata` and the body."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from urllib.parse import unquote

from router_service.domain.call import Call, Caller, Wishes
from router_service.domain.identity import Identity
from router_service.edge.bounds import MAX_ID, MAX_LABELS, MAX_NAME, check_caller
from router_service.edge.violations import Violations
from router_service.web.body import Body, StreamOptions, decoder
from router_service.web.chats import chat_of
from router_service.web.names import Names

PREFIX = "x-llmrouter-"
_CALLER = ("feature", "tier", "task_type", "user", "conversation_id", "language", "complexity")
_WISHES = ("policy", "latency_target", "max_cost_usd", "cache")
_KNOWN = frozenset({*_CALLER, *_WISHES})
_MOST_USD = 1_000_000

_metadata = decoder(dict[str, str | int | float | bool | None])
_text = decoder(str)
_truth = decoder(bool)
_stream_options = decoder(StreamOptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A chat completion as it was asked for: the call, whether its answer is a stream, and whether that tells usage."""

    call: Call
    stream: bool
    include_usage: bool


def asked(
    data: bytes,
    headers: Mapping[str, str],
    *,
    names: Names,
    request_id: str,
    identity: Identity,
    now: float,
    trace_id: str,
    whole_timeout: float,
) -> Asked:
    """The request as a call. Raises `InvalidRequest` with every bad field.

    `headers` are by lower-case name. `now` is on the event loop's clock; `whole_timeout` is how many seconds a caller
    waits for a whole answer as far as its HTTP client says, infinite where it does not.
    """
    violations = Violations()
    body = Body(data, violations)
    stream = body.take("stream", _truth) or False
    options = body.take("stream_options", _stream_options)
    said = _Said(headers, body, violations)
    timeout = said.seconds("timeout", in_metadata=False)
    if not stream:
        timeout = min(whole_timeout, math.inf if timeout is None else timeout)
    key = headers.get("idempotency-key", "")
    violations.identifier("idempotency-key", key, MAX_ID)
    call = Call(
        request_id=request_id,
        tenant=identity.tenant,
        identity=identity,
        caller=said.caller(),
        wishes=_wishes(body, said, names, identity, violations),
        chat=chat_of(body, violations),
        idempotency_key=key,
        deadline=None if timeout is None or timeout == math.inf else now + timeout,
        stream=stream,
        trace_id=trace_id,
    )
    violations.raise_any()
    return Asked(call=call, stream=stream, include_usage=options is not None and bool(options.include_usage))


class _Said:
    """What a caller says of itself and its wishes: a header before `metadata`, that before a field of OpenAI's."""

    def __init__(self, headers: Mapping[str, str], body: Body, violations: Violations) -> None:
        self._headers = headers
        self._metadata = body.take("metadata", _metadata) or {}
        safety, user = body.take("safety_identifier", _text), body.take("user", _text)
        self._user, self._user_field = (safety, "safety_identifier") if safety else (user or "", "user")
        self._violations = violations

    def text(self, name: str, *, in_metadata: bool = True) -> str:
        """What is said under this name; empty where nothing is."""
        given = self._headers.get(PREFIX + name.replace("_", "-"))
        if given is not None:
            return given
        value = self._metadata.get(name) if in_metadata else None
        return "" if value is None else _as_text(value)

    def seconds(self, name: str, *, in_metadata: bool = True) -> float | None:
        """A span of time, in seconds."""
        text = self.text(name, in_metadata=in_metadata)
        if not text:
            return None
        try:
            seconds = float(text)
        except ValueError:
            seconds = 0.0
        if not 0 < seconds < math.inf:
            self._violations.add(self.place(name), "must be a number of seconds, over 0")
        return seconds

    def nano_usd(self, name: str) -> int | None:
        """An amount of money, given in USD."""
        text = self.text(name)
        if not text:
            return None
        try:
            dollars = Decimal(text)
        except InvalidOperation:
            dollars = Decimal(-1)
        if not (dollars.is_finite() and 0 <= dollars <= _MOST_USD):
            self._violations.add(self.place(name), f"must be an amount in USD from 0 to {_MOST_USD}")
            return None
        return int(dollars * 10**9)

    def caller(self) -> Caller:
        """Who asks, and what for. Metadata that the router has no other use for are labels."""
        said = {name: self.text(name) for name in _CALLER}
        said["user"] = said["user"] or self._user
        labels = {
            name: _as_text(value) for name, value in self._metadata.items() if name not in _KNOWN and value is not None
        }
        labels |= self._labels()
        if not self._violations.at_most("metadata", len(labels), MAX_LABELS):
            labels = {}
        caller = Caller(**said, labels=labels)
        check_caller(caller, self._violations, self.place)
        return caller

    def _labels(self) -> dict[str, str]:
        """Those of the header: `team=search, run=7`, percent-encoded where they hold a comma."""
        text = self._headers.get(f"{PREFIX}labels")
        if not text:
            return {}
        labels = {}
        for pair in text.split(","):
            name, mark, value = pair.partition("=")
            if not mark:
                self._violations.add(f"{PREFIX}labels", "must be name=value, or several with commas between")
            labels[unquote(name.strip())] = unquote(value.strip())
        return labels

    def place(self, name: str) -> str:
        """Where what is said under this name was said."""
        header = PREFIX + name.replace("_", "-")
        if header in self._headers:
            return header
        return self._user_field if name == "user" and not self._metadata.get(name) else f"metadata.{name}"


def _wishes(body: Body, said: _Said, names: Names, identity: Identity, violations: Violations) -> Wishes:
    model = body.take("model", _text) or ""
    if not model and "model" not in body.misread:
        violations.add("model", 'must name a model, a deployment or a policy, or be "auto"')
    violations.identifier("model", model, MAX_NAME)
    choice = names.resolve(model, identity)
    policy = said.text("policy")
    violations.identifier(said.place("policy"), policy, MAX_NAME)
    if policy and choice.policy and policy != choice.policy:
        violations.add("model", "names another policy than the header or metadata does")
    cache = said.text("cache")
    if cache not in ("", "bypass"):
        violations.add(said.place("cache"), "must be bypass")
    return Wishes(
        policy=policy or choice.policy,
        model=choice.model,
        deployment=choice.deployment,
        latency_target=said.seconds("latency_target"),
        max_cost_nano_usd=said.nano_usd("max_cost_usd"),
        bypass_cache=cache == "bypass",
    )


def _as_text(value: str | float | bool) -> str:
    return value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
