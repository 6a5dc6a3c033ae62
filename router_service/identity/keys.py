"""API keys: `rk_<12 public id>_<48 secret>`. The public id finds a key, only the whole of it opens anything.

What is kept is HMAC-SHA256 of the whole key under a pepper that is not in the database: whoever reads the table can
neither call nor try guesses.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from router_service.config.secret import Secret
from router_service.domain.identity import Grants, Identity, IdentityKind

_ALPHABET = string.ascii_letters + string.digits
_FORM = re.compile(r"(?P<public_id>rk_[0-9A-Za-z]{12})_[0-9A-Za-z]{48}", re.ASCII)

PREFIX = "rk_"
"""How every key begins."""

Draw = Callable[[str], str]
"""One character of a text, at random and unpredictable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """A key as it is kept: without its secret. Times are in microseconds since 1970; `expires_at` and `revoked_at` are
    `None` where that is not going to happen or has not. `replaces` is the public id of the key that this one follows.
    """

    public_id: str
    secret_hash: bytes = field(repr=False)
    name: str
    tenant: str
    grants: Grants
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    replaces: str | None = None

    def holds(self, now: int) -> bool:
        """Whether the key opens anything at this time."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    @property
    def identity(self) -> Identity:
        """Who calls with the key."""
        return Identity(
            tenant=self.tenant,
            principal=self.public_id,
            kind=IdentityKind.API_KEY,
            name=self.name,
            grants=self.grants,
        )


class NewKey:
    """A key that was just made: the only moment at which its text is known. `repr` hides it."""

    __slots__ = ("_text", "public_id")

    def __init__(self, text: str) -> None:
        self._text = text
        self.public_id = public_id_of(text) or ""

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"NewKey({self.public_id}_****)"


def new_key(draw: Draw = secrets.choice) -> NewKey:
    """A key that nobody has seen: 71 random bits to find it, 285 to open it."""
    public, secret = ("".join(draw(_ALPHABET) for _ in range(length)) for length in (12, 48))
    return NewKey(f"{PREFIX}{public}_{secret}")


def public_id_of(text: str) -> str | None:
    """The part of a key that may be shown; `None` where the text has not the form of a key."""
    match = _FORM.fullmatch(text)
    return match["public_id"] if match else None


class Peppers:
    """Hashes keys: with the first pepper, and to compare with every one."""

    def __init__(self, secrets_: Sequence[Secret]) -> None:
        self._secrets = tuple(secrets_)

    def hash(self, text: str) -> bytes:
        """What to keep of a key. Raises `ValueError` where there is no pepper."""
        if not self._secrets:
            raise ValueError("there is no pepper: set identity.api_keys.pepper")
        return _hmac(self._secrets[0], text)

    def match(self, text: str, expected: bytes) -> bool:
        """Whether the hash is this key's. How long it takes does not depend on the answer."""
        found = False
        for secret in self._secrets:
            found |= hmac.compare_digest(_hmac(secret, text), expected)
        return found


def _hmac(pepper: Secret, text: str) -> bytes:
    return hmac.digest(pepper.reveal().encode(), text.encode(), hashlib.sha256)
