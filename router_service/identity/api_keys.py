"""Whose API key this is: remembered, declared in the file, or looked up in the database."""

from __future__ import annotations

import asyncio
import logging
from typing import NoReturn

from router_service.config.identity import ApiKeySettings
from router_service.domain.error import Overloaded, StateUnavailable, Unauthenticated
from router_service.domain.identity import Identity
from router_service.identity.administration import MICROSECONDS
from router_service.identity.clock import Clocks
from router_service.identity.keys import KeyRecord, Peppers, public_id_of
from router_service.identity.store import DeclaredKeys, KeyStore
from router_service.identity.verified import Verified, VerifiedCache, digest_of
from router_service.storage.database import StorageError

logger = logging.getLogger("llmrouter.identity")

_NO_KEY = bytes(32)
"""What a key is compared with where there is none, so that a miss takes the same path."""

_MOST_LOOKUPS = 64
"""Lookups at once: guesses at keys must not take the database from everybody else."""

_PATIENCE = 0.25
"""Seconds that a caller whose key was verified before waits for a database that is slow to confirm it."""

_LOOKUP_SECONDS = 5.0
"""Seconds that a caller waits whose key is not known here yet."""

_AWAY_SECONDS = 5.0
"""Seconds for which a database that failed is not asked again."""


class ApiKeyVerifier:
    """Verifies API keys.

    `store` is `None` where only the file's keys hold. A verified key is not asked for again within `cache_ttl` seconds,
    which bounds how long a key lives on that another replica revoked; while the database is away it is believed for
    `outage_grace` seconds since it was last confirmed. A key that is not remembered is refused meanwhile.
    """

    def __init__(
        self, settings: ApiKeySettings, store: KeyStore | None, cache: VerifiedCache, *, clocks: Clocks
    ) -> None:
        self._cache = cache
        self._clocks = clocks
        self._lookups: dict[tuple[str, int], asyncio.Task[KeyRecord | None]] = {}
        self._away_until = float("-inf")
        self.use(settings, store)

    def use(self, settings: ApiKeySettings, store: KeyStore | None) -> None:
        """Take over a reloaded configuration; what the database confirmed stays remembered."""
        self._settings = settings
        self._store = store
        self._declared = DeclaredKeys(settings)
        if store is None:
            self._cache.clear()
        else:
            self._cache.forget_declared()

    async def verify(self, text: str) -> Identity:
        """Who calls with this key. Raises `Unauthenticated`, and `StateUnavailable` or `Overloaded` where the key
        cannot be looked up now. Nothing is awaited for a key that is remembered."""
        digest = digest_of(text)
        known, now = self._cache.get(digest), self._clocks.monotonic()
        if known is not None and (known.expired(self._clocks.wall()) or now >= known.usable_until):
            known = None
        if known is not None and now < known.fresh_until:
            return known.identity
        public_id = public_id_of(text)
        if public_id is None:
            _refuse()
        epoch = self._cache.epoch
        declared = self._declared.find(public_id)
        if declared is not None:
            record, peppers = declared
            return self._judged(text, record, peppers, digest, epoch, declared=True)
        if self._store is None:
            return self._judged(text, None, self._declared.peppers, digest, epoch)
        try:
            found = await self._found(self._store, public_id, known)
        except StorageError as exc:
            if known is not None:
                return known.identity
            raise StateUnavailable(
                "The API key cannot be checked: the router's database does not answer. Try again in a moment.",
                metadata={"state": "api_keys"},
                retry_after=_AWAY_SECONDS,
            ) from exc
        return self._judged(text, found, self._declared.peppers, digest, epoch)

    async def aclose(self) -> None:
        """Give up the lookups that are under way."""
        tasks = list(self._lookups.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _judged(
        self,
        text: str,
        record: KeyRecord | None,
        peppers: Peppers,
        digest: bytes,
        epoch: int,
        *,
        declared: bool = False,
    ) -> Identity:
        # The comparison comes first, whether there is a key or not, and what is told then is told to its holder only.
        matches = peppers.match(text, _NO_KEY if record is None else record.secret_hash)
        if record is None or not matches:
            _refuse()
        if not record.holds(round(self._clocks.wall() * MICROSECONDS)):
            self._cache.drop(digest)
            ended = "was revoked" if record.revoked_at is not None else "has expired"
            raise Unauthenticated(f"The API key {record.public_id} {ended}. Ask your administrator for another one.")
        identity = record.identity
        if epoch == self._cache.epoch:
            now = self._clocks.monotonic()
            fresh = now + self._settings.cache_ttl
            entry = Verified(
                identity=identity,
                fresh_until=fresh,
                usable_until=fresh if declared else max(fresh, now + self._settings.outage_grace),
                expires_at=None if record.expires_at is None else record.expires_at / MICROSECONDS,
                declared=declared,
            )
            self._cache.put(digest, entry)
        return identity

    async def _found(self, store: KeyStore, public_id: str, known: Verified | None) -> KeyRecord | None:
        """The key in the database. Raises `StorageError` where it cannot tell, or not in time."""
        now = self._clocks.monotonic()
        if now < self._away_until:
            raise StorageError("The database was away a moment ago.")
        # Nobody joins a lookup that began before something was forgotten: it may have read what no longer holds.
        place = (public_id, self._cache.epoch)
        lookup = self._lookups.get(place) or self._begun(store, place, known)
        # Others wait for it as well: it is not cancelled with this caller.
        done, _ = await asyncio.wait({lookup}, timeout=_LOOKUP_SECONDS if known is None else _PATIENCE)
        if not done:
            self._set_away()
            raise StorageError("The database does not answer in time.")
        try:
            return lookup.result()
        except asyncio.CancelledError:
            raise StorageError("The lookup was given up: the router is shutting down.") from None
        except StorageError as exc:
            self._set_away(exc)
            raise

    def _begun(self, store: KeyStore, place: tuple[str, int], known: Verified | None) -> asyncio.Task[KeyRecord | None]:
        if len(self._lookups) >= _MOST_LOOKUPS:
            if known is not None:
                raise StorageError("Too many keys are being looked up.")
            raise Overloaded(
                "Too many API keys are being looked up at once. Try again in a moment.",
                metadata={"limit": "api_key_lookups"},
                retry_after=1.0,
            )
        task = asyncio.create_task(store.find(place[0]), name=f"look up {place[0]}")
        self._lookups[place] = task
        task.add_done_callback(lambda ended: self._ended(place, ended))
        return task

    def _ended(self, place: tuple[str, int], task: asyncio.Task[KeyRecord | None]) -> None:
        del self._lookups[place]
        if task.cancelled() or task.exception() is not None:
            return
        record = task.result()
        # Nobody may be waiting any longer to hear that the key has ended.
        if record is None or not record.holds(round(self._clocks.wall() * MICROSECONDS)):
            self._cache.forget(place[0])

    def _set_away(self, cause: StorageError | None = None) -> None:
        now = self._clocks.monotonic()
        if now >= self._away_until:
            grace = self._settings.outage_grace
            logger.warning(
                "API keys cannot be looked up; verified ones hold for up to %g s more: %s",
                grace,
                cause or "the database does not answer in time",
            )
        self._away_until = now + _AWAY_SECONDS


def _refuse() -> NoReturn:
    # One text for a key that does not exist, a wrong secret and what is no key at all.
    raise Unauthenticated(
        "The API key is not valid. Send one that this router issued, as `authorization: Bearer rk_...`."
    )
