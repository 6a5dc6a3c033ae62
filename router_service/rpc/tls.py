"""TLS of the server from PEM files, read again when they change."""

from __future__ import annotations

import logging
from pathlib import Path

import grpc

from router_service.config.configuration import TlsSettings
from router_service.edge.address import CannotServe
from router_service.edge.pem_files import PemFiles

logger = logging.getLogger("llmrouter.rpc")


class CertificateFiles:
    """The certificate, its key and the clients' CA. A change that does not hold together is not taken over."""

    def __init__(self, settings: TlsSettings) -> None:
        self._settings = settings
        self._files = PemFiles(settings)

    def credentials(self) -> grpc.ServerCredentials:
        """Credentials that follow the files. Raises `CannotServe` where they cannot be used now."""
        try:
            first = self._read()
        except (OSError, ValueError) as error:
            raise CannotServe(
                f"The TLS files cannot be used: {error}. "
                "Check server.tls: its files must be readable PEM, and the key must be the certificate's."
            ) from error
        return grpc.dynamic_ssl_server_credentials(
            first,
            self._changed,  # type: ignore[arg-type]  # grpc documents None, its stubs forget it
            require_client_authentication=self._settings.client_ca_file is not None,
        )

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Called by gRPC before each handshake: the files' new content, `None` where nothing changed."""
        try:
            return self._read() if self._files.changed() else None
        except (OSError, ValueError) as error:
            logger.warning("The changed TLS files cannot be used, the old ones stay: %s", error)
            return None

    def _read(self) -> grpc.ServerCertificateConfiguration:
        settings = self._settings
        client_ca = None if settings.client_ca_file is None else Path(settings.client_ca_file).read_bytes()
        pair = (Path(settings.key_file).read_bytes(), Path(settings.cert_file).read_bytes())
        configuration = grpc.ssl_server_certificate_configuration([pair], root_certificates=client_ca)
        self._files.read()
        return configuration
