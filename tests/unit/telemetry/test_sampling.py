from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from router_service.telemetry import semconv
from router_service.telemetry.sampling import TailSampler, Told, ratio_keeps

SECOND = 10**9


class Kept:
    def __init__(self, room: int = 10**9) -> None:
        self.traces: list[list[str]] = []
        self.spans: list[ReadableSpan] = []
        self._room = room

    def __call__(self, spans: Sequence[ReadableSpan]) -> bool:
        if len(spans) > self._room:
            return False
        self.traces.append([span.name for span in spans])
        self.spans += spans
        return True

    @property
    def reasons(self) -> list[object]:
        return [(span.attributes or {}).get(semconv.SAMPLING_REASON) for span in self.spans if span.name == "root"]


class Tale:
    def __init__(self, reason: str = "") -> None:
        self.reason = reason
        self.asked = 0

    def reason_to_keep(self) -> str:
        return self.reason

    def told(self, root: ReadableSpan) -> Told:
        self.asked += 1
        return Told(attributes={"llm_router.feature": "chat"})


def tracer_over(sampler: TailSampler) -> Tracer:
    provider = TracerProvider(ALWAYS_ON, shutdown_on_exit=False)
    provider.add_span_processor(sampler)
    return provider.get_tracer("test")


def root_of(tracer: Tracer, *, start: int = SECOND, parent: Context | None = None) -> Span:
    return tracer.start_span("root", parent or Context(), start_time=start)


def child_of(tracer: Tracer, span: Span, name: str = "child") -> Span:
    return tracer.start_span(name, set_span_in_context(span, Context()))


def remote(*, sampled: bool, trace_id: int = 0xABC) -> Context:
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    return set_span_in_context(NonRecordingSpan(SpanContext(trace_id, 0x1, True, flags)), Context())


def sampler_into(kept: Kept, *, ratio: float = 0.0, **bounds: int) -> TailSampler:
    return TailSampler(kept, ratio=ratio, slow_seconds=30.0, **bounds)


def test_an_uneventful_trace_is_dropped_whole_and_its_story_is_never_told() -> None:
    kept, tale = Kept(), Tale()
    sampler = sampler_into(kept)
    tracer = tracer_over(sampler)
    root = root_of(tracer)
    sampler.attach(root.get_span_context(), tale)
    child_of(tracer, root).end()
    root.end(2 * SECOND)
    assert (kept.traces, tale.asked, dict(sampler.dropped)) == ([], 0, {})


def test_a_failed_child_keeps_its_whole_trace() -> None:
    kept = Kept()
    tracer = tracer_over(sampler_into(kept))
    root = root_of(tracer)
    good, bad = child_of(tracer, root, "good"), child_of(tracer, root, "bad")
    bad.set_status(StatusCode.ERROR)
    good.end()
    bad.end()
    root.end(2 * SECOND)
    assert kept.traces == [["root", "good", "bad"]]
    assert kept.reasons == ["error"]


def test_a_failed_root_is_kept_as_an_error() -> None:
    kept = Kept()
    tracer = tracer_over(sampler_into(kept))
    root = root_of(tracer)
    root.set_status(StatusCode.ERROR)
    root.end(2 * SECOND)
    assert kept.reasons == ["error"]


def test_a_remarkable_story_keeps_the_trace_under_its_own_reason() -> None:
    kept = Kept()
    sampler = sampler_into(kept)
    root = root_of(tracer_over(sampler))
    assert sampler.attach(root.get_span_context(), Tale("fallback"))
    root.end(2 * SECOND)
    assert kept.reasons == ["fallback"]
    assert (kept.spans[0].attributes or {})["llm_router.feature"] == "chat"


def test_a_slow_trace_is_kept() -> None:
    kept = Kept()
    tracer = tracer_over(sampler_into(kept))
    root_of(tracer).end(SECOND + 31 * SECOND)
    assert kept.reasons == ["slow"]


@pytest.mark.parametrize(("sampled", "reasons"), [(True, ["parent"]), (False, [])])
def test_a_remote_parent_that_samples_is_always_followed(sampled: bool, reasons: list[str]) -> None:
    kept = Kept()
    sampler = sampler_into(kept)
    root = root_of(tracer_over(sampler), parent=remote(sampled=sampled))
    assert sampler.will_keep(root.get_span_context()) is sampled
    root.end(2 * SECOND)
    assert kept.reasons == reasons


def test_two_calls_of_one_remote_trace_are_decided_each_by_itself() -> None:
    kept = Kept()
    tracer = tracer_over(sampler_into(kept))
    first, second = (root_of(tracer, parent=remote(sampled=False)) for _ in range(2))
    mine, others = child_of(tracer, first, "mine"), child_of(tracer, second, "other's")
    others.set_status(StatusCode.ERROR)
    mine.end()
    others.end()
    first.end(2 * SECOND)
    second.end(2 * SECOND)
    assert kept.traces == [["root", "other's"]]


def test_grandchildren_belong_to_the_local_root() -> None:
    kept = Kept()
    tracer = tracer_over(sampler_into(kept, ratio=1.0))
    root = root_of(tracer)
    child = child_of(tracer, root)
    child_of(tracer, child, "grandchild").end()
    child.end()
    root.end(2 * SECOND)
    assert kept.traces == [["root", "grandchild", "child"]]


def test_a_span_that_outlives_its_root_is_counted_as_orphaned() -> None:
    kept = Kept()
    sampler = sampler_into(kept, ratio=1.0)
    tracer = tracer_over(sampler)
    root = root_of(tracer)
    child = child_of(tracer, root)
    root.end(2 * SECOND)
    child.end()
    assert (kept.traces, sampler.dropped["orphaned"]) == ([["root"]], 1)


def test_beyond_the_bound_the_oldest_open_trace_is_given_up() -> None:
    kept = Kept()
    sampler = sampler_into(kept, ratio=1.0, max_traces=2)
    tracer = tracer_over(sampler)
    oldest = root_of(tracer)
    child_of(tracer, oldest).end()
    newer = [root_of(tracer) for _ in range(2)]
    assert (sampler.open_traces, sampler.dropped["abandoned"]) == (2, 1)
    for root in (oldest, *newer):
        root.end(2 * SECOND)
    assert len(kept.traces) == 2
    assert sampler.dropped["orphaned"] == 1


def test_a_root_that_never_ends_is_given_up_after_an_hour() -> None:
    kept = Kept()
    sampler = sampler_into(kept)
    tracer = tracer_over(sampler)
    child_of(tracer, root_of(tracer, start=SECOND)).end()
    root_of(tracer, start=3602 * SECOND)
    assert (sampler.open_traces, sampler.dropped["abandoned"]) == (1, 1)


def test_no_more_spans_are_held_than_allowed() -> None:
    kept = Kept()
    sampler = sampler_into(kept, ratio=1.0, max_spans=3)
    tracer = tracer_over(sampler)
    root = root_of(tracer)
    for _ in range(10):
        child_of(tracer, root).end()
    root.end(2 * SECOND)
    assert kept.traces == [["root", "child", "child"]]
    assert sampler.dropped["orphaned"] == 8


def test_a_trace_without_room_in_the_queue_is_dropped_whole_and_counted() -> None:
    sampler = sampler_into(Kept(room=1), ratio=1.0)
    tracer = tracer_over(sampler)
    root = root_of(tracer)
    child_of(tracer, root).end()
    root.end(2 * SECOND)
    assert dict(sampler.dropped) == {"refused": 2}


def test_shutdown_gives_up_open_traces() -> None:
    sampler = sampler_into(Kept(), ratio=1.0)
    tracer = tracer_over(sampler)
    child_of(tracer, root_of(tracer)).end()
    sampler.shutdown()
    assert (sampler.open_traces, sampler.dropped["abandoned"]) == (0, 1)


def test_a_story_needs_an_open_local_root() -> None:
    sampler = sampler_into(Kept())
    tracer = tracer_over(sampler)
    root = root_of(tracer)
    child = child_of(tracer, root)
    assert not sampler.attach(child.get_span_context(), Tale())
    root.end()
    assert not sampler.attach(root.get_span_context(), Tale())


@given(
    st.lists(st.tuples(st.integers(0, 2**128 - 1), st.lists(st.booleans(), max_size=4), st.booleans()), max_size=8),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.randoms(use_true_random=False),
)
def test_a_local_trace_is_kept_or_dropped_as_a_whole(
    traces: list[tuple[int, list[bool], bool]], ratio: float, shuffle: object
) -> None:
    """However spans of concurrent calls interleave, a trace arrives complete or not at all; nothing is left over."""
    kept = Kept()
    sampler = sampler_into(kept, ratio=ratio)
    tracer = tracer_over(sampler)
    opened = []
    for trace_id, failures, sampled in traces:
        root = root_of(tracer, parent=remote(sampled=sampled, trace_id=trace_id or 1))
        opened.append((root, [(child_of(tracer, root), failed) for failed in failures]))
    children = [pair for _, pairs in opened for pair in pairs]
    shuffle.shuffle(children)  # type: ignore[attr-defined]
    for child, failed in children:
        if failed:
            child.set_status(StatusCode.ERROR)
        child.end()
    for root, _ in opened:
        root.end(2 * SECOND)
    want = [
        1 + len(failures)
        for trace_id, failures, sampled in traces
        if sampled or any(failures) or ratio_keeps(trace_id or 1, ratio)
    ]
    assert [len(names) for names in kept.traces] == want
    assert sampler.open_traces == 0
    assert not sampler._trace_of  # nothing may stay behind
    assert not sampler.dropped


@given(st.integers(0, 2**128 - 1), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_keeps_all_that_a_smaller_one_keeps(trace_id: int, one: float, other: float) -> None:
    smaller, larger = sorted((one, other))
    assert ratio_keeps(trace_id, 1.0)
    assert not ratio_keeps(trace_id, 0.0)
    assert ratio_keeps(trace_id, larger) or not ratio_keeps(trace_id, smaller)
