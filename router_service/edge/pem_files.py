"""The PEM files of a server's TLS, checked by the library that reads them and read again when they change."""

from __future__ import annotations

import ssl
from pathlib import Path

from router_service.config.configuration import TlsSettings

_Stamp = tuple[tuple[int, int, int], ...]


class PemFiles:
    """The certificate, its key and the clients' CA. Every method raises `OSError` where a file cannot be read, and
    `ValueError` or `OSError` where they do not hold together."""

    def __init__(self, settings: TlsSettings) -> None:
        self._settings = settings
        self._stamp: _Stamp = ()

    def changed(self) -> bool:
        """Whether they are others than those that were read last."""
        return self._current_stamp() != self._stamp

    def read(self) -> ssl.SSLContext:
        """A server's context with these files; with a CA it asks clients for their certificate."""
        stamp, settings = self._current_stamp(), self._settings
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # ssl.SSLError is an OSError: the key is not the certificate's, or one of them is no PEM.
        context.load_cert_chain(settings.cert_file, settings.key_file)
        if settings.client_ca_file is not None:
            context.load_verify_locations(settings.client_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
        self._stamp = stamp
        return context

    def _current_stamp(self) -> _Stamp:
        settings = self._settings
        files = [name for name in (settings.cert_file, settings.key_file, settings.client_ca_file) if name]
        stats = [Path(name).stat() for name in files]
        return tuple((stat.st_mtime_ns, stat.st_ino, stat.st_size) for stat in stats)
