"""The providers that are in use, kept over reloads of the configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from router_service.config.configuration import ProviderSettings
from router_service.domain.upstream import Provider
from router_service.providers.openai_compatible import OpenAICompatible

# A call that began under the old configuration may retry on, or fall back to, a provider it has not asked yet.
_LINGER_SECONDS = 300.0

_FileState = tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class _Opened:
    keyless: ProviderSettings
    tls_files: tuple[_FileState, ...]
    provider: OpenAICompatible


class ProviderPool(Mapping[str, Provider]):
    """Providers by id: a live view that `update` changes in place.

    `open_one` makes a provider of its settings; it may raise `OSError` where a TLS file cannot be read. What is
    replaced serves older calls for another `linger_seconds`, waited for with `sleep`.
    """

    def __init__(
        self,
        settings: Mapping[str, ProviderSettings],
        *,
        open_one: Callable[[ProviderSettings], OpenAICompatible] = OpenAICompatible,
        linger_seconds: float = _LINGER_SECONDS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._open_one = open_one
        self._linger_seconds = linger_seconds
        self._sleep = sleep
        self._opened: dict[str, _Opened] = {}
        self._closing: dict[asyncio.Task[None], OpenAICompatible] = {}
        self.update(settings)

    def __getitem__(self, key: str) -> Provider:
        return self._opened[key].provider

    def __iter__(self) -> Iterator[str]:
        return iter(self._opened)

    def __len__(self) -> int:
        return len(self._opened)

    def connections(self) -> Mapping[str, tuple[int, int]]:
        """Of each provider how many connections are in use and how many idle. From any thread."""
        return {provider_id: opened.provider.connections for provider_id, opened in self._opened.items()}

    def update(self, settings: Mapping[str, ProviderSettings]) -> None:
        """Use these providers from now on; where one cannot be opened, nothing changes.

        A provider whose settings and TLS files are as before stays with its connections, and takes its keys from the
        new settings. What is replaced or removed lingers, and is then closed once its calls in flight have ended;
        that needs a running event loop.
        """
        opened: dict[str, _Opened] = {}
        for provider_id, wanted in settings.items():
            present = self._opened.get(provider_id)
            keyless, tls_files = replace(wanted, keys=()), _tls_files(wanted)
            if present is not None and (present.keyless, present.tls_files) == (keyless, tls_files):
                opened[provider_id] = present
            else:
                opened[provider_id] = _Opened(keyless, tls_files, self._open_one(wanted))
        previous, self._opened = self._opened, opened
        for provider_id, kept in opened.items():
            if previous.get(provider_id) is kept:
                kept.provider.use_keys(settings[provider_id].keys)
        for provider_id, old in previous.items():
            if opened.get(provider_id) is not old:
                task = asyncio.get_running_loop().create_task(self._retire(old.provider))
                self._closing[task] = old.provider
                task.add_done_callback(self._closing.pop)

    async def aclose(self) -> None:
        """Close every provider at once, also those that linger or wait for calls in flight."""
        leaving = list(self._closing.values())
        for task in list(self._closing):
            task.cancel()
        present = [opened.provider for opened in self._opened.values()]
        self._opened = {}
        await asyncio.gather(*(provider.aclose() for provider in (*present, *leaving)))

    async def _retire(self, provider: OpenAICompatible) -> None:
        await self._sleep(self._linger_seconds)
        await provider.close_when_idle()


def _tls_files(settings: ProviderSettings) -> tuple[_FileState, ...]:
    return tuple(
        None if path is None else _state(path)
        for path in (settings.ca_file, settings.client_cert_file, settings.client_key_file)
    )


def _state(path: str) -> _FileState:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
