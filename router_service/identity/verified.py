"""Credentials that were verified a moment ago: the hot path asks nobody else."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

from router_service.domain.identity import Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """An identity, and how long it is believed.

    Until `fresh_until` nobody is asked; until `usable_until` it is believed while nobody can be asked; both are seconds
    on the monotonic clock. `expires_at` is in seconds since 1970, `None` where the credential has no end. `declared`
    says that the identity came from the configuration.
    """

    identity: Identity
    fresh_until: float
    usable_until: float
    expires_at: float | None = None
    declared: bool = False

    def expired(self, wall: float) -> bool:
        """Whether the credential's own end has come."""
        return self.expires_at is not None and wall >= self.expires_at


class VerifiedCache:
    """The latest verified credentials, by a full hash of what was presented; never more than `size`."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[bytes, Verified] = OrderedDict()
        self._forgotten = 0

    @property
    def epoch(self) -> int:
        """Changes whenever something is forgotten: what was looked up before may no longer be put."""
        return self._forgotten

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, digest: bytes) -> Verified | None:
        entry = self._entries.get(digest)
        if entry is not None:
            self._entries.move_to_end(digest)
        return entry

    def put(self, digest: bytes, entry: Verified) -> None:
        self._entries[digest] = entry
        self._entries.move_to_end(digest)
        while len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def drop(self, digest: bytes) -> None:
        self._entries.pop(digest, None)

    def forget(self, principal: str) -> None:
        """Drop whatever was verified for a principal."""
        self._forgotten += 1
        for digest in [one for one, entry in self._entries.items() if entry.identity.principal == principal]:
            del self._entries[digest]

    def forget_declared(self) -> None:
        """Drop what came from a configuration that is replaced."""
        self._forgotten += 1
        for digest in [one for one, entry in self._entries.items() if entry.declared]:
            del self._entries[digest]

    def clear(self) -> None:
        """Drop everything."""
        self._forgotten += 1
        self._entries.clear()


def digest_of(credential: str) -> bytes:
    """The key of the cache: all of SHA-256, so that no two credentials share an entry."""
    return hashlib.sha256(credential.encode("utf-8", "surrogatepass")).digest()
