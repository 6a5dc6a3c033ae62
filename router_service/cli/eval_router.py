"""The router as an evaluation asks it: over gRPC, as any other caller."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration

from llmrouter import AsyncClient, RouterError
from llmrouter.v1 import receipt_pb2
from llmrouter.v1.chat_pb2 import ResponseFormat
from llmrouter.v1.model_pb2 import Deployment
from llmrouter.v1.receipt_pb2 import Receipt
from router_service.domain.chat import Chat, FinishReason, JsonSchemaFormat
from router_service.lab.asking import RouterGone, Said, Subject, SubjectKind

_PURPOSE = {"purpose": "eval"}
# What is over soon is waited for; what stays, such as a spent budget, is a failure.
_PASSING = frozenset({"RATE_LIMITED", "OVERLOADED", "ALL_CANDIDATES_COOLING"})
_LONGEST_WAIT = 65.0
_MOST_WAITS = 5


class EvalRouter:
    """Asks through a client. `timeout` is in seconds, per call. Calls carry the label `purpose: eval`."""

    def __init__(
        self,
        client: AsyncClient,
        *,
        timeout: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._timeout = timeout
        self._sleep = sleep

    async def ask(self, subject: Subject, chat: Chat, *, feature: str, tier: str, request_id: str) -> Said:
        """Have the subject answer; a limit or a pause that is over within a minute is waited for."""
        options = _options(subject, chat, feature, tier) | {"timeout": self._timeout}
        for waited in range(_MOST_WAITS + 1):
            try:
                answer = await self._client.complete(_messages(chat), request_id=request_id, **options)
                return _said(answer.receipt, answer=answer.text, finish_reason=FinishReason(answer.finish_reason))
            except RouterError as error:
                wait = error.retry_after
                may_pass = error.reason in _PASSING and wait is not None and wait <= _LONGEST_WAIT
                if may_pass and waited < _MOST_WAITS:
                    assert wait is not None
                    await self._sleep(wait)
                    continue
                return await self._failed(error)
        raise AssertionError("the last round returns")

    async def estimate(self, subject: Subject, chat: Chat, *, feature: str, tier: str) -> int | None:
        """The router's estimate for the first candidate."""
        options = _options(subject, chat, feature, tier) | {"timeout": self._timeout}
        try:
            decision = (await self._client.route(_messages(chat), **options)).decision
        except RouterError as error:
            if not error.reason:
                raise RouterGone(f"{error.code.name}: {error.message}") from error
            # Nobody may serve it: the call will fail, and cost nothing.
            return 0
        if not decision.candidates:
            return 0
        first = decision.candidates[0]
        return first.estimated_cost_nano_usd if first.HasField("estimated_cost_nano_usd") else None

    async def _failed(self, error: RouterError) -> Said:
        # Without a reason of the router's own nobody may be there; a call that only took too long is none of that.
        if not error.reason and error.code is not grpc.StatusCode.DEADLINE_EXCEEDED:
            raise RouterGone(f"{error.code.name}: {error.message}") from error
        reason = error.reason or error.code.name
        try:
            receipt = await self._client.receipt(error.request_id, timeout=self._timeout)
        except RouterError:
            return Said(error=reason)
        return _said(receipt, error=reason)


def resolved(names: Iterable[str], deployments: Sequence[Deployment]) -> list[Subject]:
    """Models and deployments by name; what is both is asked as a deployment, without a fallback.

    Raises `ValueError` with the names that are neither.
    """
    ids = {deployment.id for deployment in deployments}
    models = {deployment.model for deployment in deployments}
    unknown = [name for name in names if name not in ids | models]
    if unknown:
        known = ", ".join(sorted(ids | models)) or "none"
        raise ValueError(f"The router has no model or deployment {', '.join(unknown)}; there are {known}")
    return [Subject(SubjectKind.DEPLOYMENT if name in ids else SubjectKind.MODEL, name) for name in names]


def _options(subject: Subject, chat: Chat, feature: str, tier: str) -> dict[str, Any]:
    parameters = chat.parameters
    options: dict[str, Any] = {
        subject.kind.value: subject.name,
        "feature": feature,
        "tier": tier,
        "labels": _PURPOSE,
        "max_output_tokens": parameters.max_output_tokens,
        "temperature": parameters.temperature,
    }
    if isinstance(chat.response_format, JsonSchemaFormat):
        asked = chat.response_format
        options["response_format"] = ResponseFormat(
            json_schema=ResponseFormat.JsonSchema(name=asked.name, schema_json=asked.schema_json)
        )
    return {name: value for name, value in options.items() if value not in (None, "")}


def _messages(chat: Chat) -> list[dict[str, str]]:
    return [{"role": message.role.value, "content": message.text} for message in chat.messages]


def _said(receipt: Receipt, **more: Any) -> Said:
    return Said(
        cost=receipt.cost_nano_usd if receipt.HasField("cost_nano_usd") else None,
        cost_status=receipt_pb2.CostStatus.Name(receipt.cost_status).removeprefix("COST_STATUS_").lower(),
        latency=_seconds(receipt.duration),
        time_to_first_output=(
            _seconds(receipt.time_to_first_output) if receipt.HasField("time_to_first_output") else None
        ),
        path=tuple(
            f"{attempt.deployment} "
            + receipt_pb2.AttemptOutcome.Name(attempt.outcome).removeprefix("ATTEMPT_OUTCOME_").lower()
            for attempt in receipt.attempts
        ),
        **more,
    )


def _seconds(duration: Duration) -> float:
    return duration.ToTimedelta().total_seconds()
