"""Callers' repeats: under one idempotency key a call is made once, and a repeat gets what the first one got."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from router_service.domain.call import Call
from router_service.domain.error import DeadlineExceeded
from router_service.domain.receipt import Answer
from router_service.limits.idempotency import Answered, Claim, Idempotency

Request = TypeVar("Request", contravariant=True)  # noqa: PLC0105 - as Request it reads
Response = TypeVar("Response")

# A call that outlives its deadline by this much, in seconds, has lost its owner.
_GRACE = 60.0
_NO_DEADLINE = 600.0
# How long it is remembered that a call was made, where its answer is not kept for longer, in seconds.
_REMEMBERED = 86_400.0


class Answers(Protocol[Request, Response]):
    """How an edge says answers, and keeps them. No two edges give the same digest."""

    def digest(self, request: Request) -> bytes:
        """What makes the request what it is. Whole and streamed answers are the same request."""
        ...

    def response(self, answer: Answer) -> Response:
        """The answer as its caller gets it."""
        ...

    def stored(self, response: Response) -> tuple[bytes, bytes]:
        """The response, and the receipt that is in it, as they are kept."""
        ...

    def restored(self, data: bytes) -> Response:
        """A response that was kept."""
        ...


class Deduplication(Generic[Request, Response]):
    """Makes calls at most once per key while the key is held; a call that failed leaves it free.

    `permit` raises for calls that their callers may not make: what another caller of the tenant was answered is theirs
    only if they could have asked for it.
    """

    def __init__(
        self, idempotency: Idempotency, answers: Answers[Request, Response], *, permit: Callable[[Call], None]
    ) -> None:
        self._idempotency = idempotency
        self._answers = answers
        self._permit = permit

    async def once(self, call: Call, request: Request, make: Callable[[], Awaitable[Answer]]) -> tuple[Response, bool]:
        """The answer, and whether it is a repeated one. Raises what `make` raises; for a repeat `AlreadyExists` where
        the answer is not kept, `IdempotencyConflict`, `InvalidRequest`, and `DeadlineExceeded` where the first call
        took longer than the repeat could wait.
        """
        if not call.idempotency_key:
            return self._answers.response(await make()), False
        self._permit(call)
        claim = await self._claim(call, self._answers.digest(request))
        if isinstance(claim, Answered):
            return self._answers.restored(claim.stored()), True
        try:
            answer = await make()
            response = self._answers.response(answer)
        except BaseException:
            # Nothing came of it, so that a repeat is what its caller wants.
            claim.abandon()
            raise
        kept = _kept(answer)
        stored, receipt = self._answers.stored(response)
        claim.finish(answer=stored, receipt=receipt, keep=max(kept, _REMEMBERED), keep_answer=kept > 0)
        return response, False

    async def _claim(self, call: Call, digest: bytes) -> Claim | Answered:
        left = _NO_DEADLINE if call.deadline is None else call.deadline - asyncio.get_running_loop().time()
        try:
            # The first call's deadline may be later than this one's.
            async with asyncio.timeout_at(call.deadline):
                return await self._idempotency.claim(
                    call.tenant, call.idempotency_key, digest, lease=max(0.0, left) + _GRACE
                )
        except TimeoutError as error:
            raise DeadlineExceeded(
                "The caller's deadline passed while its idempotency key was waited for: an earlier call under it may "
                "still be running. Ask again with the same key."
            ) from error


def _kept(answer: Answer) -> float:
    decision = answer.receipt.decision
    return decision.policy.keep_answers if decision is not None else 0.0
