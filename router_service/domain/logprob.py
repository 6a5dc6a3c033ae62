"""How likely each token of an answer was, as far as its provider says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

MOST_TOP_LOGPROBS = 20
"""Of how many tokens at one place the log-probability may be asked for."""

LEAST_LOGPROB = -9999.0
"""What providers write for a token that is all but impossible; anything below means the same."""

# In tokens, with twenty others in the place of each.
_PIECE = 512


@dataclass(frozen=True, slots=True)
class TopLogprob:
    """A token that could have stood in a place.

    `logprob` is the natural logarithm of its probability, from `LEAST_LOGPROB` to 0, `None` where the provider gave no
    number. `token_bytes` are its bytes where `token` is not all of them, as in the middle of a character; else empty.
    """

    token: str
    logprob: float | None
    token_bytes: bytes = b""


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token of an answer; `top` are the likeliest at its place, in the provider's order. See `TopLogprob`."""

    token: str
    logprob: float | None
    token_bytes: bytes = b""
    top: tuple[TopLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Logprobs:
    """Of tokens in the order in which they were said; `truncated` where more came than are kept."""

    tokens: tuple[TokenLogprob, ...]
    truncated: bool = False

    def pieces(self) -> Iterator[Logprobs]:
        """The same in pieces small enough for any message."""
        for at in range(0, len(self.tokens), _PIECE):
            yield Logprobs(self.tokens[at : at + _PIECE], self.truncated and at + _PIECE >= len(self.tokens))


@dataclass(frozen=True, slots=True, kw_only=True)
class LogprobWish:
    """What an attempt asks its provider for: `top` tokens at each place, from 0 to `MOST_TOP_LOGPROBS`.

    `shown` is how many of them the caller gets, `None` where it asked for no log-probabilities at all. `judged` says
    that a gate looks at the margins between the tokens.
    """

    top: int
    shown: int | None = None
    judged: bool = False
