"""The matrix by itself: that it is complete, and that what it expects is what the documents say."""

from collections.abc import Sequence

import pytest

from benchmarks.chaos import known_misses
from benchmarks.chaos.cells import Cell, Way, cells, covering_sample, possible, strikes
from benchmarks.chaos.expectations import expect
from benchmarks.chaos.faults import FAULTS, Phase
from benchmarks.chaos.judge import Claim, Miss
from benchmarks.chaos.known_misses import KNOWN_MISSES, KnownMiss, known_miss

CELLS = {cell.name: cell for cell in cells()}


def story(cell: Cell) -> list[str]:
    """Such as "PRIMARY a 503"."""
    return [f"{one.reason} {one.candidate} {one.error_type or one.outcome}" for one in expect(cell).attempts]


def statuses(cell: Cell) -> list[str]:
    return ["|".join(sorted(one.cost_statuses)) for one in expect(cell).attempts]


def test_the_matrix_has_the_32_faults_of_the_plan_and_more_than_200_cells_of_them() -> None:
    assert sum(fault.listed for fault in FAULTS) == 32
    listed = {
        (cell.fault.name, cell.way, cell.position, cell.phase)
        for cell in CELLS.values()
        if cell.fault.listed and cell.way is not Way.WHOLE
    }
    assert len(listed) >= 200


def test_names_are_unique_and_every_cell_is_possible() -> None:
    assert len(CELLS) == sum(1 for _ in cells())
    assert all(possible(cell) for cell in CELLS.values())


def test_the_sample_has_every_fault_in_every_phase_and_way() -> None:
    wanted = {(fault.name, way, phase) for fault in FAULTS for way in Way for phase in strikes(fault, way)}
    assert {(cell.fault.name, cell.way, cell.phase) for cell in covering_sample()} == wanted


def test_every_known_miss_is_about_cells_that_exist() -> None:
    assert all(any(entry.covers(cell) for cell in CELLS.values()) for entry in KNOWN_MISSES)


def test_a_known_miss_excuses_what_it_shows_in_its_cells_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = KnownMiss(
        faults=frozenset({"500"}),
        ways=frozenset({Way.UNARY}),
        phase=Phase.HEADER,
        shows="want 1",
        place="here",
        why="an example",
    )
    monkeypatch.setattr(known_misses, "KNOWN_MISSES", (entry,))
    covered, other = CELLS["500/unary/first/header/passes/fail"], CELLS["401/unary/first/header/passes/fail"]
    assert known_miss(covered, [Miss(Claim.ATTEMPTS, "want 1, got 2")]) is entry
    assert known_miss(covered, []) is entry
    assert known_miss(covered, [Miss(Claim.ATTEMPTS, "something new")]) is None
    assert known_miss(other, [Miss(Claim.ATTEMPTS, "want 1, got 2")]) is None


@pytest.mark.parametrize(
    ("name", "attempts", "code", "reason"),
    [
        ("500/unary/first/header/passes/fail", ["PRIMARY a 500", "RETRY a SUCCESS"], "OK", ""),
        (
            "401/stream/first/header/lasts/fail",
            ["PRIMARY a 401", "FALLBACK b 401", "FALLBACK c 401"],
            "INTERNAL",
            "PROVIDER_REFUSES_KEY",
        ),
        (
            "524/unary/first/header/lasts/fail",
            [
                f"{reason} {letter} 524"
                for letter in "abc"
                for reason in ("PRIMARY" if letter == "a" else "FALLBACK", "RETRY")
            ],
            "UNAVAILABLE",
            "ATTEMPTS_EXHAUSTED",
        ),
        (
            "400 context/unary/first/header/passes/fail",
            ["PRIMARY a context_length", "FALLBACK c SUCCESS"],
            "OK",
            "",
        ),
        (
            "400/unary/retry/header/passes/fail",
            ["PRIMARY a 503", "RETRY a 400"],
            "INVALID_ARGUMENT",
            "UPSTREAM_REJECTED",
        ),
        (
            "stall/stream/fallback/mid/passes/fail",
            ["PRIMARY a 401", "FALLBACK b stall_timeout"],
            "UNAVAILABLE",
            "STREAM_TRUNCATED",
        ),
        (
            "stall/stream/fallback/mid/passes/restart",
            ["PRIMARY a 401", "FALLBACK b stall_timeout", "FALLBACK c SUCCESS"],
            "OK",
            "",
        ),
        (
            "EOF without finish/unary/first/mid/passes/fail",
            ["PRIMARY a stream_interrupted", "RETRY a SUCCESS"],
            "OK",
            "",
        ),
        ("RST/stream/first/post-finish/passes/fail", ["PRIMARY a SUCCESS"], "OK", ""),
    ],
)
def test_the_rules_give_what_the_documents_say(name: str, attempts: Sequence[str], code: str, reason: str) -> None:
    expected = expect(CELLS[name])
    assert (story(CELLS[name]), expected.code, expected.reason) == (attempts, code, reason)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("refused/unary/first/connect/passes/fail", ["UNBILLED", "UNBILLED", "UNBILLED", "ACTUAL"]),
        ("429 quota/unary/first/header/passes/fail", ["UNBILLED", "ACTUAL"]),
        ("500/unary/first/header/passes/fail", ["INDETERMINATE", "ACTUAL"]),
        ("stall/unary/first/mid/passes/fail", ["PARTIAL", "ACTUAL"]),
        ("EOF without finish/stream/first/post-finish/passes/fail", ["ESTIMATED"]),
    ],
)
def test_what_may_have_been_billed_is_never_booked_as_certain(name: str, wanted: Sequence[str]) -> None:
    assert statuses(CELLS[name]) == wanted
