"""Router files: what a learned classifier knows, as JSON that `llmrouter train` writes."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from pathlib import Path

import msgspec

from router_service.domain.classifier import HEURISTIC, LEARNED, LLM, Cut, Fern, LearnedWeights, Term

FORMAT = "llmrouter-classifier/2"
FIGURES = 16
"""How many figures the shape of a prompt has; `routing.shape.SHAPE` names them."""

_MOST_BYTES = 64 * 2**20
_MOST_CUTS = 8


class RouterFileError(Exception):
    """The file is none that `llmrouter train` wrote; the message says what is wrong with it."""


class FernShape(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A fern: pairs of a figure's place and a cut, and a weight for each leaf; `weak` where the file has `odds`."""

    cuts: list[Cut]
    weights: list[float]
    weak: list[float] = []


class RouterFile(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """The file's shape, as `LearnedWeights` explains it. A term of two words has a space in between; `about` is for
    people.
    """

    format: str
    about: dict[str, str]
    terms: dict[str, tuple[float, ...]]
    shape: list[tuple[float, ...]]
    spread: float
    moderate_from: float
    complex_from: float
    ferns: list[FernShape] = []
    odds: tuple[float, float] | None = None
    average: float = 0.0


def is_router_file(name: str) -> bool:
    """Whether a policy that names this classifier means a file."""
    return name not in (HEURISTIC, LEARNED, LLM, "")


def read_router_file(path: Path, name: str) -> LearnedWeights:
    """The weights of a file under the name that policies use. Raises `RouterFileError`, and `OSError`."""
    if path.stat().st_size > _MOST_BYTES:
        raise RouterFileError(f"is larger than {_MOST_BYTES // 2**20} MiB")
    return _weights(path.read_bytes(), name)


@cache
def shipped() -> LearnedWeights:
    """The weights of the classifier "learned" that comes with the package."""
    return _weights((files("router_service") / "classifiers" / "default.json").read_bytes(), LEARNED)


def _weights(content: bytes, name: str) -> LearnedWeights:
    try:
        read = msgspec.json.decode(content, type=RouterFile)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise RouterFileError(f"is no router file: {exc}") from exc
    if read.format != FORMAT:
        raise RouterFileError(f'is of the format "{read.format}", not "{FORMAT}": train it anew')
    sides = 1 if read.odds is None else 2
    if any(len(learned) != 1 + sides for learned in read.terms.values()):
        raise RouterFileError(f"does not have {1 + sides} numbers for each term")
    if len(read.shape) != FIGURES or any(len(figure) != 2 + sides for figure in read.shape):
        raise RouterFileError(f"does not have {FIGURES} figures of shape with {2 + sides} numbers each")
    if read.spread <= 0 or any(figure[1] <= 0 for figure in read.shape):
        raise RouterFileError("has a spread that is not above 0")
    if not all(_is_fern(fern, sides) for fern in read.ferns):
        raise RouterFileError(f"has a fern without 1 to {_MOST_CUTS} cuts of these figures and a weight for each leaf")
    return LearnedWeights(
        name=name,
        terms={_term(text): learned for text, learned in read.terms.items()},
        shape=tuple(read.shape),
        spread=read.spread,
        moderate_from=read.moderate_from,
        complex_from=read.complex_from,
        ferns=tuple(
            Fern(cuts=tuple(fern.cuts), weights=tuple(fern.weights), weak=tuple(fern.weak)) for fern in read.ferns
        ),
        odds=read.odds,
        average=read.average,
        digest=hashlib.sha256(content).hexdigest()[:12],
    )


def _is_fern(fern: FernShape, sides: int) -> bool:
    places = all(0 <= figure < FIGURES for figure, _ in fern.cuts)
    leaves = 1 << len(fern.cuts)
    weighed = len(fern.weights) == leaves and len(fern.weak) == (leaves if sides > 1 else 0)
    return places and 1 <= len(fern.cuts) <= _MOST_CUTS and weighed


def _term(text: str) -> Term:
    first, space, second = text.partition(" ")
    return (first, second) if space else first
