"""Log-probabilities as OpenAI's API has them."""

from __future__ import annotations

from typing import Any

from router_service.domain.logprob import LEAST_LOGPROB, Logprobs, TokenLogprob, TopLogprob


def logprobs_body(logprobs: Logprobs | None) -> dict[str, Any] | None:
    """Of an answer, or of a piece of it; `None` where there are none."""
    if logprobs is None:
        return None
    content = [{**_told(token), "top_logprobs": [_told(one) for one in token.top]} for token in logprobs.tokens]
    body: dict[str, Any] = {"content": content, "refusal": None}
    if logprobs.truncated:
        body["llmrouter_truncated"] = True
    return body


def _told(token: TokenLogprob | TopLogprob) -> dict[str, Any]:
    logprob = LEAST_LOGPROB if token.logprob is None else token.logprob
    return {"token": token.token, "logprob": logprob, "bytes": list(token.token_bytes or token.token.encode())}
