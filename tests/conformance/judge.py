"""Whether what a client gave its user is what a case wants: the one judge of all languages' clients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message

from llmrouter.v1 import chat_pb2, error_pb2, receipt_pb2, router_service_pb2
from router_service.simulator.journal import Entry

_OUTCOME = {"requestId", "answer", "events", "response", "error", "cancelled"}
_ANSWER = {"text", "finishReason", "message", "receipt"}
_ERROR = {"code", "reason", "message", "metadata", "retryAfterMs", "violations", "receiptSummary", "requestId"}
_RESPONSES: dict[str, type[Message]] = {
    "Route": router_service_pb2.RouteResponse,
    "GetReceipt": router_service_pb2.GetReceiptResponse,
    "ListModels": router_service_pb2.ListModelsResponse,
}


class Unreadable(ValueError):
    """The runner's report is not what `README.md` asks for."""


def normal(method: str, outcome: Mapping[str, Any]) -> dict[str, Any]:
    """The outcome with all protobuf JSON in the canonical form, however a language prints it. Raises `Unreadable`."""
    _no_more("An outcome", outcome, _OUTCOME)
    told = {key: value for key, value in outcome.items() if value is not None}
    if answer := told.get("answer"):
        _no_more("An answer", answer, _ANSWER)
        told["answer"] = {
            **answer,
            "message": _canonical(chat_pb2.Message, answer.get("message")),
            "receipt": _canonical(receipt_pb2.Receipt, answer.get("receipt")),
        }
    if (events := told.get("events")) is not None:
        told["events"] = [_canonical(router_service_pb2.StreamCompleteResponse, event) for event in events]
    if (response := told.get("response")) is not None:
        told["response"] = _canonical(_RESPONSES[method], response)
    if error := told.get("error"):
        _no_more("An error", error, _ERROR)
        told["error"] = {key: value for key, value in error.items() if value is not None}
        if summary := told["error"].get("receiptSummary"):
            told["error"]["receiptSummary"] = _canonical(error_pb2.ReceiptSummary, summary)
    return told


def problems(call: Mapping[str, Any], outcome: Mapping[str, Any]) -> list[str]:
    """What is wrong with a normal outcome, a sentence each; nothing where all is as it should be."""
    found, want = list(_unnamed(call, outcome)), call["want"]
    found += [
        f"{kind}: not wanted, got {outcome[kind]!r}"
        for kind in ("error", "cancelled")
        if kind in outcome and kind not in want
    ]
    told = dict(outcome)
    if "events" in told:
        events = told["events"]
        found += _illegal(events, ended="cancelled" not in told)
        told |= {"events": _order(events), "answer": _streamed(events), "discards": _kinds(events, "attemptDiscarded")}
        told |= {"started": _kinds(events, "attemptStarted"), "verdicts": _kinds(events, "gateVerdict")}
    found += _differences(want, told, "")
    return found


def upstream_problems(want: Sequence[Mapping[str, Any]], entries: Sequence[Entry]) -> list[str]:
    """What is wrong with the requests that the simulated provider saw, in the order of arrival."""
    seen = [
        {
            "model": entry.model,
            "stream": entry.stream,
            "outcome": str(entry.outcome),
            "body": entry.body,
        }
        for entry in entries
    ]
    return list(_differences(want, seen, "upstream"))


def _unnamed(call: Mapping[str, Any], outcome: Mapping[str, Any]) -> Iterator[str]:
    """Whoever has an answer, a stream or an error also knows the call's request id, the one they gave if they did."""
    if not outcome.keys() & {"answer", "events", "error"}:
        return
    named = outcome.get("requestId")
    if not named or named != call.get("requestId", named):
        yield f"requestId: wanted {call.get('requestId', 'any')!r}, got {named!r}"
    receipt = outcome.get("answer", {}).get("receipt")
    if receipt is not None and receipt.get("requestId") != named:
        yield f"requestId: the receipt is of {receipt.get('requestId')!r}, the client says {named!r}"


def _streamed(events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The answer in a stream: of a broken one, what its reader has."""
    finished = next((event["finished"] for event in events if "finished" in event), {})
    name = finished.get("finishReason", "")
    answer = {"text": _said(events, "textDelta"), "reasoning": _said(events, "reasoningDelta"), **finished}
    return {**answer, "finishReason": name.removeprefix("FINISH_REASON_").lower()}


def _said(events: Sequence[Mapping[str, Any]], kind: str) -> str:
    return "".join(event[kind].get("text", "") for event in _kept(events) if kind in event)


def _kept(events: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The events that no `AttemptDiscarded` took back."""
    kept: list[Mapping[str, Any]] = []
    for event in events:
        if discarded := event.get("attemptDiscarded"):
            gone = discarded["attempt"]
            kept = [one for one in kept if not any(_attempt_of(one, kind) == gone for kind in _DELTAS)]
        else:
            kept.append(event)
    return kept


_DELTAS = ("textDelta", "reasoningDelta", "toolCallDelta")


def _attempt_of(event: Mapping[str, Any], kind: str) -> int | None:
    return event[kind].get("attempt") if kind in event else None


def _illegal(events: Sequence[Mapping[str, Any]], *, ended: bool) -> Iterator[str]:
    """What no stream may do, whatever the case."""
    kinds = [_kind(event) for event in events]
    if kinds and kinds[0] != "decision":
        yield f"events: the first is {kinds[0]}, not the decision"
    if kinds.count("finished") > 1 or "finished" in kinds[:-1]:
        yield "events: Finished is not the last"
    finished = next((event["finished"] for event in events if "finished" in event), None)
    if finished is None or "message" not in finished or not ended:
        return
    message = finished["message"]
    said = {
        "text": _said(events, "textDelta"),
        "reasoning": _said(events, "reasoningDelta"),
        "toolCalls": _tool_calls(events),
    }
    whole = {
        "text": "".join(part.get("text", "") for part in message.get("parts", [])),
        "reasoning": message.get("reasoning", ""),
        "toolCalls": message.get("toolCalls", []),
    }
    for kind, value in said.items():
        if value != whole[kind]:
            yield f"{kind}: the deltas say {value!r}, Finished says {whole[kind]!r}"


def _tool_calls(events: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    calls: dict[int, dict[str, str]] = {}
    for event in _kept(events):
        if delta := event.get("toolCallDelta"):
            call = calls.setdefault(delta.get("index", 0), {"id": "", "name": "", "argumentsJson": ""})
            for key in call:
                call[key] += delta.get(key, "")
    return [calls[index] for index in sorted(calls)]


def _order(events: Sequence[Mapping[str, Any]]) -> list[str]:
    """The kinds of events in order; several of the same kind in a row are one with a plus."""
    runs = [(kind, len(list(run))) for kind, run in groupby(events, _kind)]
    return [f"{kind}+" if length > 1 or kind in _DELTAS else kind for kind, length in runs]


def _kind(event: Mapping[str, Any]) -> str:
    return next((kind for kind in event if kind != "sequence"), "unknown")


def _kinds(events: Sequence[Mapping[str, Any]], kind: str) -> list[Any]:
    return [event[kind] for event in events if kind in event]


def _canonical(kind: type[Message], given: Any) -> dict[str, Any]:
    try:
        return MessageToDict(ParseDict({} if given is None else given, kind()))
    except (ParseError, AttributeError, TypeError) as error:
        raise Unreadable(f"This is no {kind.DESCRIPTOR.name} in protobuf JSON: {error}") from error


def _no_more(what: str, given: Any, known: set[str]) -> None:
    if not isinstance(given, Mapping):
        raise Unreadable(f"{what} is an object, not {given!r}")
    if surplus := given.keys() - known:
        raise Unreadable(f"{what} has no {sorted(surplus)}; it has {sorted(known)}")


def _differences(want: Any, got: Any, path: str) -> Iterator[str]:
    """Where `got` lacks something of `want`. Objects may have more than is wanted, lists may not."""
    if isinstance(want, Mapping) and any(key.startswith("$") for key in want):
        if not _matches(want, got):
            yield f"{path}: wanted {dict(want)}, got {got!r}"
    elif isinstance(want, Mapping) and isinstance(got, Mapping):
        for key, value in want.items():
            yield from _differences(value, got.get(key), f"{path}.{key}".lstrip("."))
    elif isinstance(want, list) and isinstance(got, list) and len(want) == len(got):
        for number, (one, other) in enumerate(zip(want, got, strict=True)):
            yield from _differences(one, other, f"{path}[{number}]")
    elif want != got or isinstance(want, bool) is not isinstance(got, bool):
        yield f"{path}: wanted {want!r}, got {got!r}"


def _matches(want: Mapping[str, Any], got: Any) -> bool:
    checks = {
        "$any": lambda wanted: (got is not None) is wanted,
        "$contains": lambda wanted: isinstance(got, str) and wanted in got,
        "$length": lambda wanted: got is not None and len(got) == wanted,
        "$atLeast": lambda wanted: got is not None and float(got) >= wanted,
        "$atMost": lambda wanted: got is not None and float(got) <= wanted,
    }
    return all(checks[key](wanted) for key, wanted in want.items())
