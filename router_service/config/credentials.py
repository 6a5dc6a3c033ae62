"""Whether the keys and files that the configuration names can be used: asked before serving, not by the first call."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from router_service.config.certificates import why_no_authorities, why_no_pair
from router_service.config.document import Document
from router_service.config.source import Location, Source

_VARIABLE = re.compile(r"(?:\$|os\.environ/|\$env:|env:)(?P<name>[A-Za-z_]\w*)|%(?P<windows>[A-Za-z_]\w*)%")


def check_secrets(source: Source, document: Document) -> None:
    """Note keys that no header can carry, and texts that look like a variable's name in the place of its value."""
    for piece in document.providers.values():
        if piece.shape:
            _check_key(source, (*piece.at, "api_key"), piece.shape.api_key or "")
            for number, key in enumerate(piece.shape.api_keys):
                _check_key(source, source.known((*piece.at, "api_keys", number)), key)
    tokens = document.decision_tokens
    if tokens.shape is None or tokens.shape.key is None:
        return
    key, at = tokens.shape.key, (*tokens.at, "key")
    if at not in source.unusable and not names_a_variable(source, at, key) and len(key) < 16:
        source.report(at, "is shorter than 16 characters", "Make one, for example with `openssl rand -hex 32`")
    if tokens.shape.key_file is not None:
        source.report(at, "is given beside `key_file`", "Remove one of the two")


def _check_key(source: Source, at: Location, key: str) -> None:
    if at in source.unusable or names_a_variable(source, at, key):
        return
    if fault := _fault(key.strip()):
        source.report(at, f"a key holds {fault}", "Check what the variable or text holds")


def _fault(key: str) -> str:
    if any(letter.isspace() for letter in key):
        return "white space"
    return "" if key.isascii() and (key.isprintable() or not key) else "characters beyond ASCII, or control characters"


def names_a_variable(source: Source, at: Location, text: str) -> bool:
    """Whether the text is a variable's name in the place of its value, which is noted."""
    match = None if at in source.environment else _VARIABLE.fullmatch(text.strip())
    if match:
        name = match["name"] or match["windows"]
        source.report(at, "is the name of a variable, not its value", f'Write "${{{name}}}", in quotes')
    return match is not None


def check_files(source: Source, document: Document, directory: Path) -> None:
    """Note files that cannot be read, and certificates and keys that cannot be used."""
    for location, name in _secret_files(document):
        at = source.known(location)
        content = content_of(source, at, name, directory)
        if content is None:
            continue
        try:
            fault = _fault(content.decode("utf-8").strip()) if at[0] == "providers" else ""
        except UnicodeDecodeError:
            fault = "bytes that are no UTF-8 text"
        if fault:
            source.report(at, f"{name} holds {fault}", "Write the key and nothing else into it")
    if document.server.shape and (tls := document.server.shape.tls):
        at = ("server", "tls")
        _check_pair(source, at, {"cert_file": tls.cert_file, "key_file": tls.key_file}, directory)
        _check_authorities(source, (*at, "client_ca_file"), tls.client_ca_file, directory)
    for piece in document.providers.values():
        if piece.shape:
            pair = {"client_cert_file": piece.shape.client_cert_file, "client_key_file": piece.shape.client_key_file}
            _check_pair(source, piece.at, pair, directory)
            _check_authorities(source, (*piece.at, "ca_file"), piece.shape.ca_file, directory)


def _secret_files(document: Document) -> Iterator[tuple[Location, str]]:
    if document.decision_tokens.shape and document.decision_tokens.shape.key_file is not None:
        yield ("decision_tokens", "key_file"), document.decision_tokens.shape.key_file
    for piece in document.providers.values():
        for number, file in enumerate(piece.shape.api_key_file if piece.shape else ()):
            yield (*piece.at, "api_key_file", number), file


def content_of(source: Source, at: Location, file: str, directory: Path) -> bytes | None:
    """What the file holds; `None` where that is nothing, which is noted."""
    if at in source.unusable:
        return None
    try:
        content = (directory / file).read_bytes()
    except (OSError, ValueError) as exc:
        fix = "Check the path; relative ones start at the configuration file's directory"
        source.report(at, f"cannot read {file}: {getattr(exc, 'strerror', None) or exc}", fix)
        return None
    if not content.strip():
        source.report(at, f"{file} is empty", "Write the secret or certificate into it")
        return None
    return content


def _check_pair(source: Source, at: Location, files: dict[str, str | None], directory: Path) -> None:
    usable = [
        (key, file)
        for key, file in files.items()
        if file is not None and content_of(source, (*at, key), file, directory) is not None
    ]
    if len(usable) == 2:
        (key, certificate), (_, private) = usable
        if fault := why_no_pair(directory / certificate, directory / private):
            source.report((*at, key), fault, "Give the PEM files of one certificate and its own, unencrypted key")


def _check_authorities(source: Source, at: Location, file: str | None, directory: Path) -> None:
    if file is None or content_of(source, at, file, directory) is None:
        return
    if fault := why_no_authorities(directory / file):
        source.report(at, f"{file} {fault}", "Give a PEM bundle, with `-----BEGIN CERTIFICATE-----` before each one")
