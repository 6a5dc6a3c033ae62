"""Whether PEM files can be used, asked of the library that will use them."""

from __future__ import annotations

import ssl
from pathlib import Path

_UNUSABLE = (OSError, ValueError)  # `ssl.SSLError` is an OSError


def why_no_authorities(file: Path) -> str:
    """Why a bundle of authorities cannot be used; empty where it can."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(file)
    except _UNUSABLE:
        return "holds no certificate that can be read"
    return ""


def why_no_pair(certificate: Path, key: Path) -> str:
    """Why a certificate and its key cannot be used together; empty where they can."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    encrypted = False

    def password() -> str:
        # Without this OpenSSL would ask on the terminal.
        nonlocal encrypted
        encrypted = True
        return ""

    try:
        context.load_cert_chain(certificate, key, password)
    except ssl.SSLError as exc:
        if encrypted:
            return f"the key in {key.name} is encrypted"
        if exc.reason == "KEY_VALUES_MISMATCH":
            return f"the key in {key.name} does not belong to the certificate in {certificate.name}"
        if exc.reason and "TOO_" in exc.reason:
            return f"{certificate.name} is too weak: {exc.reason.lower().replace('_', ' ')}"
        return f"{certificate.name} and {key.name} are not a certificate and its key in PEM"
    except _UNUSABLE:
        return f"{certificate.name} and {key.name} are not a certificate and its key in PEM"
    return ""
