"""The public keys of an issuer of tokens, from a file or a URL. Needs the extra `jwt`."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx2
import jwt

from router_service.config.identity import Algorithm, IssuerSettings
from router_service.domain.error import StateUnavailable

logger = logging.getLogger("llmrouter.identity")

_MOST_BYTES = 256 * 1024
_MOST_KEYS = 100
_LEAST_RSA_BITS = 2048
_FETCH_SECONDS = 5.0

_LEAST_BETWEEN_FETCHES = 10.0
"""Seconds: a caller who invents key ids must not make us ask the issuer each time."""

_STALE_SECONDS = 3600.0
"""How long keys are used beyond their time while the issuer does not answer."""

Fetch = Callable[[str], Awaitable[bytes]]
"""What is at a URL: at most 256 KiB, within 5 s, without following redirects. Raises `OSError` or `ValueError`."""

_TYPES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
_CURVES = {
    Algorithm.ES256: "P-256",
    Algorithm.ES384: "P-384",
    Algorithm.ES512: "P-521",
    Algorithm.EDDSA: "Ed25519",
}


class IssuerKeys:
    """The keys of one issuer. A key id that is not known makes it look again, but not more than once in 10 s."""

    def __init__(self, settings: IssuerSettings, *, fetch: Fetch, monotonic: Callable[[], float]) -> None:
        self._settings = settings
        self._fetch = fetch
        self._monotonic = monotonic
        self._keys: tuple[Mapping[str, Any], ...] = ()
        self._ready: dict[tuple[str, Algorithm], Any] = {}
        self._read_at: float | None = None
        self._asked_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def key(self, key_id: str | None, algorithm: Algorithm) -> Any | None:
        """The public key of that id for that algorithm; `None` where the issuer has none.

        Without an id the issuer's only key for the algorithm. Raises `StateUnavailable` where its keys cannot be had.
        """
        if self._age() >= self._settings.jwks_ttl:
            # The keys at hand do meanwhile.
            self._read_again()
        found = self._found(key_id, algorithm)
        if found is None and (reading := self._read_again()) is not None:
            # Others wait for it too: it is not cancelled with this caller.
            await asyncio.wait({reading})
            found = self._found(key_id, algorithm)
        if self._age() >= self._settings.jwks_ttl + _STALE_SECONDS:
            raise StateUnavailable(
                "The token cannot be checked: its issuer's keys cannot be had. Try again in a moment.",
                metadata={"state": "issuer_keys"},
                retry_after=_LEAST_BETWEEN_FETCHES,
            )
        return found

    async def aclose(self) -> None:
        """Give up a fetch that is under way."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    def _found(self, key_id: str | None, algorithm: Algorithm) -> Any | None:
        fitting = [one for one in self._keys if _fits(one, key_id, algorithm)]
        if len(fitting) != 1:
            return None
        at = (json.dumps(fitting[0], sort_keys=True), algorithm)
        if at not in self._ready:
            self._ready[at] = _public_key(fitting[0], algorithm)
        return self._ready[at]

    def _age(self) -> float:
        return float("inf") if self._read_at is None else self._monotonic() - self._read_at

    def _read_again(self) -> asyncio.Task[None] | None:
        """Begin to read the keys anew, or join in; `None` where that was done just now."""
        if self._reading is None and self._monotonic() - self._asked_at >= _LEAST_BETWEEN_FETCHES:
            self._asked_at = self._monotonic()
            self._reading = asyncio.create_task(self._read(), name=f"keys of {self._settings.name}")
        return self._reading

    async def _read(self) -> None:
        settings = self._settings
        try:
            if settings.jwks_file:
                content = await asyncio.to_thread(Path(settings.jwks_file).read_bytes)
            else:
                content = await self._fetch(settings.jwks_url)
            self._keys = _usable(content)
            self._ready.clear()
            self._read_at = self._monotonic()
        except (OSError, ValueError) as exc:
            logger.warning("the keys of issuer %s cannot be had: %s", settings.name, type(exc).__name__)
        finally:
            self._reading = None


def _usable(content: bytes) -> tuple[Mapping[str, Any], ...]:
    if len(content) > _MOST_BYTES:
        raise ValueError("a JWKS may not be larger than 256 KiB")
    keys = json.loads(content)["keys"] if content.strip().startswith(b"{") else None
    if not isinstance(keys, list) or len(keys) > _MOST_KEYS:
        raise ValueError("is no JWKS, or holds more than 100 keys")
    # Secrets (`oct`) are never keys of an issuer: whoever can read them could sign.
    return tuple(one for one in keys if isinstance(one, dict) and one.get("kty") in _TYPES.values())


def _fits(key: Mapping[str, Any], key_id: str | None, algorithm: Algorithm) -> bool:
    return (
        key.get("kty") == _TYPES[algorithm[:2]]
        and key.get("crv") == _CURVES.get(algorithm)
        and (key_id is None or key.get("kid") == key_id)
        and key.get("alg") in (None, algorithm.value)
        and key.get("use") in (None, "sig")
    )


def _public_key(key: Mapping[str, Any], algorithm: Algorithm) -> Any | None:
    try:
        found = jwt.PyJWK(dict(key), algorithm=algorithm.value).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    # A private key in a JWKS is a leak, not a public key; a short one is not worth its name.
    if hasattr(found, "private_bytes") or getattr(found, "key_size", _LEAST_RSA_BITS) < _least_size(algorithm):
        return None
    return found


def _least_size(algorithm: Algorithm) -> int:
    return _LEAST_RSA_BITS if _TYPES[algorithm[:2]] == "RSA" else 0


class JwksClient:
    """Fetches key sets over HTTP."""

    def __init__(self) -> None:
        self._client: httpx2.AsyncClient | None = None

    async def fetch(self, url: str) -> bytes:
        """What is at the URL. Raises `OSError` or `ValueError`."""
        if self._client is None:
            self._client = httpx2.AsyncClient(follow_redirects=False, trust_env=False, timeout=_FETCH_SECONDS)
        try:
            async with asyncio.timeout(_FETCH_SECONDS), self._client.stream("GET", url) as response:
                if response.status_code != 200:
                    raise ValueError(f"the issuer answered {response.status_code}")
                content = b""
                async for part in response.aiter_bytes():
                    content += part
                    if len(content) > _MOST_BYTES:
                        raise ValueError("a JWKS may not be larger than 256 KiB")
                return content
        except httpx2.HTTPError as exc:
            raise OSError(type(exc).__name__) from exc

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()
