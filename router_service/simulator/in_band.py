"""Errors inside a 200, in the words of those who send them."""

from __future__ import annotations

from typing import Any

import msgspec

from router_service.simulator.faults import ErrorStyle
from router_service.simulator.wire import Envelope, error

_ANTHROPIC = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
_NESTED = {"message": "Something went wrong while generating.", "type": "server_error", "code": "internal_error"}


def event(style: ErrorStyle, envelope: Envelope) -> bytes:
    """The events with which such a provider's stream ends."""
    payload = msgspec.json.encode(body(style, envelope))
    match style:
        case ErrorStyle.VLLM:
            return b"data: " + payload + b"\n\ndata: [DONE]\n\n"
        case ErrorStyle.ANTHROPIC | ErrorStyle.GROQ | ErrorStyle.GROQ_NESTED:
            return b"event: error\ndata: " + payload + b"\n\n"
        case ErrorStyle.OPENROUTER_FINISH:
            failed = {"code": "server_error", "message": "Provider disconnected unexpectedly"}
            return envelope.chunk([{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}], error=failed)
        case _:
            return b"data: " + payload + b"\n\n"


def body(style: ErrorStyle, envelope: Envelope) -> dict[str, Any]:
    """The same as one JSON body."""
    match style:
        case ErrorStyle.VLLM:
            return error("Engine loop has died.", "internal_error", code=504)
        case ErrorStyle.OPENROUTER | ErrorStyle.OPENROUTER_FINISH:
            failed = {"code": "server_error", "message": "Provider disconnected unexpectedly"}
            return {
                "id": envelope.id,
                "object": "chat.completion.chunk",
                "model": envelope.model,
                "choices": [],
                "error": failed,
            }
        case ErrorStyle.ANTHROPIC:
            return dict(_ANTHROPIC)
        case ErrorStyle.GROQ:
            return {"error": "over capacity, please retry"}
        case ErrorStyle.GROQ_NESTED:
            return {"error": {"error": _NESTED}}
        case ErrorStyle.LLAMA_CPP:
            exceeded = {"n_prompt_tokens": 9000, "n_ctx": 8192, "type": "exceed_context_size_error", "code": 400}
            return {
                "error": {"message": "the request exceeds the available context size, try increasing it", **exceeded}
            }
