"""Decision tokens: `Route` signs its decision, `Complete` redeems it while it is fresh and the request is the same."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

from router_service.domain.call import Call
from router_service.domain.chat import ImagePart, Message
from router_service.domain.decision import Decision
from router_service.domain.error import InvalidDecisionToken, Reason

_VERSION = 1


@dataclass(frozen=True, slots=True)
class RedeemedDecision:
    """What a valid token says: the deployments to try, in order, and the complexity that they were chosen for, empty in
    tokens of routers that did not say."""

    deployments: tuple[str, ...]
    complexity: str


class TokenSigner:
    """Signs with HMAC-SHA256. `key` gives the secret now (it may rotate); `clock` is seconds since the epoch."""

    def __init__(self, key: Callable[[], str] | None, ttl: float, clock: Callable[[], float]) -> None:
        made = secrets.token_hex(32)
        self._key = key or (lambda: made)
        self._ttl = ttl
        self._clock = clock

    def sign(self, call: Call, decision: Decision) -> tuple[str, float]:
        """A token for `decision`, and when it expires in seconds since the epoch."""
        expires_at = self._clock() + self._ttl
        payload = json.dumps(
            {
                "v": _VERSION,
                "tenant": call.tenant,
                "request": _request_hash(call),
                "configuration": decision.fingerprint,
                "expires_at": expires_at,
                "complexity": decision.signals.complexity,
                "deployments": [candidate.deployment.id for candidate in decision.candidates],
            },
            separators=(",", ":"),
        ).encode()
        return f"{_encode(payload)}.{_encode(self._mac(payload))}", expires_at

    def redeem(self, call: Call, fingerprint: str) -> RedeemedDecision:
        """What the call's token says.

        Raises `InvalidDecisionToken`: DECISION_TOKEN_INVALID where it is foreign, damaged or for another request or
        tenant; DECISION_TOKEN_EXPIRED where it is too old or the configuration changed.
        """
        encoded, _, mac = call.wishes.decision_token.partition(".")
        try:
            payload = _decode(encoded)
            genuine = hmac.compare_digest(self._mac(payload), _decode(mac))
        except (ValueError, binascii.Error):
            genuine = False
        if not genuine:
            raise _invalid("it was not signed by this router")
        content = json.loads(payload)
        if content["v"] != _VERSION:
            raise _invalid("it was made by another version of the router")
        if content["tenant"] != call.tenant or content["request"] != _request_hash(call):
            raise _invalid("it was made for another request")
        if content["expires_at"] < self._clock():
            raise _expired(f"it expired {self._clock() - content['expires_at']:.0f} s ago")
        if content["configuration"] != fingerprint:
            raise _expired("the configuration has changed since")
        return RedeemedDecision(deployments=tuple(content["deployments"]), complexity=content.get("complexity", ""))

    def _mac(self, payload: bytes) -> bytes:
        return hmac.digest(self._key().encode(), payload, "sha256")


def _request_hash(call: Call) -> str:
    """A hash of all that the decision depends on. Labels are a mapping: their order must not matter."""
    caller = replace(call.caller, labels=dict(sorted(call.caller.labels.items())))
    wishes = replace(call.wishes, decision_token="", accept_discard=False)
    chat = replace(call.chat, messages=tuple(_without_files(message) for message in call.chat.messages))
    return hashlib.sha256(repr((caller, chat, wishes)).encode("utf-8", "surrogatepass")).hexdigest()


def _without_files(message: Message) -> Message:
    """The message with each picture's bytes replaced by their hash: writing out megabytes takes too long."""
    if not any(isinstance(part, ImagePart) and part.data for part in message.parts):
        return message
    parts = tuple(
        replace(part, data=hashlib.sha256(part.data).digest()) if isinstance(part, ImagePart) and part.data else part
        for part in message.parts
    )
    return replace(message, parts=parts)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _invalid(why: str) -> InvalidDecisionToken:
    return InvalidDecisionToken(
        f"The decision token cannot be used: {why}. Call Route again for this request, or leave the token out.",
        metadata={"why": why},
    )


def _expired(why: str) -> InvalidDecisionToken:
    return InvalidDecisionToken(
        f"The decision token is no longer valid: {why}. Call Route again.",
        reason=Reason.DECISION_TOKEN_EXPIRED,
        metadata={"why": why},
    )
