"""Answers as OpenAI's API has them, whole."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from router_service.domain.chat import Message, TextPart
from router_service.domain.receipt import Answer, Receipt
from router_service.web.errors import invalid
from router_service.web.logprobs import logprobs_body
from router_service.web.receipts import account, answer_usage

_encoder = msgspec.json.Encoder()
_completions = msgspec.json.Decoder(dict[str, Any])


def encoded(value: Any) -> bytes:
    """JSON text."""
    return _encoder.encode(value)


def completion_id(receipt_id: str) -> str:
    """The id of an answer: that of the request, with OpenAI's prefix."""
    return f"chatcmpl-{receipt_id}"


def model_of(receipt: Receipt) -> str:
    """The model that answered."""
    answered = receipt.answered_by
    return "" if answered is None else answered.deployment.model


def completion(answer: Answer) -> dict[str, Any]:
    """A whole answer: a `chat.completion`, with our account beside its usage."""
    receipt = answer.receipt
    return {
        "id": completion_id(receipt.request_id),
        "object": "chat.completion",
        "created": int(receipt.started_at),
        "model": model_of(receipt),
        "choices": [
            {
                "index": 0,
                "message": message_body(answer.message),
                "logprobs": logprobs_body(answer.logprobs),
                "finish_reason": answer.finish_reason.value,
            }
        ],
        "usage": answer_usage(receipt),
        "llmrouter": account(receipt),
    }


def message_body(message: Message) -> dict[str, Any]:
    """The assistant's message."""
    text = "".join(part.text for part in message.parts if isinstance(part, TextPart))
    body: dict[str, Any] = {
        "role": "assistant",
        "content": text if text or not message.tool_calls else None,
        "refusal": None,
    }
    if message.reasoning:
        body["reasoning_content"] = message.reasoning
    if message.tool_calls:
        body["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments_json}}
            for call in message.tool_calls
        ]
    if message.opaque:
        # Sent back with the message, it keeps a provider's thread of thought.
        body["llmrouter_opaque"] = [
            {"origin": state.origin, "data": b64encode(state.data).decode("ascii")} for state in message.opaque
        ]
    return body


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """A request that may be repeated: its body, and those of its headers that are ours."""

    body: bytes
    wishes: Mapping[str, str]


class JsonAnswers:
    """Answers as `chat.completion` objects, kept for callers' repeats."""

    def digest(self, request: KeyedRequest) -> bytes:
        """What makes the request what it is: its body, but for how it is answered, and what its headers wish. Raises
        `InvalidRequest`."""
        try:
            body = _completions.decode(request.body)
        except msgspec.ValidationError as error:
            # Well-formed JSON it is: only a number of thousands of digits, or beyond all floats, is refused here.
            raise invalid("body", "holds a number that is out of range") from error
        for name in ("stream", "stream_options"):
            body.pop(name, None)
        whole = ["web", body, dict(request.wishes)]
        return hashlib.sha256(msgspec.json.encode(whole, order="deterministic")).digest()

    def response(self, answer: Answer) -> dict[str, Any]:
        """The answer as its caller gets it."""
        return completion(answer)

    def stored(self, response: Mapping[str, Any]) -> tuple[bytes, bytes]:
        """The response, and the account that is in it, as they are kept."""
        return encoded(response), encoded(response["llmrouter"])

    def restored(self, data: bytes) -> dict[str, Any]:
        """A response that was kept."""
        restored: dict[str, Any] = _completions.decode(data)
        return restored
