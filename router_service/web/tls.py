"""TLS of the HTTP server from PEM files, read again when they change."""

from __future__ import annotations

import logging
import ssl

from router_service.config.configuration import TlsSettings
from router_service.edge.address import CannotServe
from router_service.edge.pem_files import PemFiles

logger = logging.getLogger("llmrouter.web")


class CertificateFiles:
    """The certificate, its key and the clients' CA. A change that does not hold together is not taken over."""

    def __init__(self, settings: TlsSettings) -> None:
        self._files = PemFiles(settings)
        self._current: ssl.SSLContext

    def context(self) -> ssl.SSLContext:
        """A context that follows the files. Raises `CannotServe` where they cannot be used now."""
        try:
            first = self._read()
        except (OSError, ValueError) as error:
            raise CannotServe(
                f"The TLS files cannot be used: {error}. "
                "Check server.http.tls: its files must be readable PEM, and the key must be the certificate's."
            ) from error
        first.sni_callback = self._at_handshake
        return first

    def _read(self) -> ssl.SSLContext:
        self._current = context = self._files.read()
        context.set_alpn_protocols(["http/1.1"])
        return context

    def _at_handshake(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        """Called before each handshake, with or without a name."""
        try:
            if self._files.changed():
                self._read()
        except (OSError, ValueError) as error:
            logger.warning("The changed TLS files cannot be used, the old ones stay: %s", error)
        if connection.context is not self._current:
            connection.context = self._current
