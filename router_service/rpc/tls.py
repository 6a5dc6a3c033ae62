"""TLS of the server from PEM files, read again when they change."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

import grpc

from router_service.config.configuration import TlsSettings
from router_service.edge.address import CannotServe

logger = logging.getLogger("llmrouter.rpc")

_Stamp = tuple[tuple[int, int, int], ...]


class CertificateFiles:
    """The certificate, its key and the clients' CA. A change that does not hold together is not taken over."""

    def __init__(self, settings: TlsSettings) -> None:
        self._settings = settings
        self._stamp: _Stamp = ()

    def credentials(self) -> grpc.ServerCredentials:
        """Credentials that follow the files. Raises `CannotServe` where they cannot be used now."""
        try:
            first = self._read(self._current_stamp())
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
            stamp = self._current_stamp()
            return None if stamp == self._stamp else self._read(stamp)
        except (OSError, ValueError) as error:
            logger.warning("The changed TLS files cannot be used, the old ones stay: %s", error)
            return None

    def _current_stamp(self) -> _Stamp:
        settings = self._settings
        files = [name for name in (settings.cert_file, settings.key_file, settings.client_ca_file) if name]
        stats = [Path(name).stat() for name in files]
        return tuple((stat.st_mtime_ns, stat.st_ino, stat.st_size) for stat in stats)

    def _read(self, stamp: _Stamp) -> grpc.ServerCertificateConfiguration:
        settings = self._settings
        # ssl.SSLError is an OSError: the key is not the certificate's, or one of them is no PEM.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(settings.cert_file, settings.key_file)
        client_ca: bytes | None = None
        if settings.client_ca_file is not None:
            context.load_verify_locations(settings.client_ca_file)
            client_ca = Path(settings.client_ca_file).read_bytes()
        pair = (Path(settings.key_file).read_bytes(), Path(settings.cert_file).read_bytes())
        configuration = grpc.ssl_server_certificate_configuration([pair], root_certificates=client_ca)
        self._stamp = stamp
        return configuration
