"""What the shapes cannot see of the section `identity`: what is missing, contradictory, or names nothing."""

from __future__ import annotations

import importlib.util
import ipaddress
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from router_service.config.credentials import content_of, names_a_variable
from router_service.config.document import Document, nearest
from router_service.config.identity_shape import (
    ApiKeysShape,
    DeclaredKeyShape,
    GrantsShape,
    IdentityShape,
    IssuerShape,
)
from router_service.config.source import Location, Source

_KEY = re.compile(r"rk_[0-9A-Za-z]{12}_[0-9A-Za-z]{48}")
_LEAST_PEPPER = 16
_MAKE_A_KEY = "Make one with `llmrouter keys create NAME --for-file`"


def check_identity(source: Source, document: Document, directory: Path) -> None:
    """Note in the source what would let nobody in, or somebody unintended."""
    piece = document.identity
    if piece.shape is None:
        return
    shape = piece.shape
    _check_pepper(source, shape.api_keys, directory)
    _check_keys(source, shape.api_keys, directory)
    if shape.api_keys.database and document.storage.shape and document.storage.shape.url is None:
        fix = "Write `storage: {url: ...}`, such as sqlite:///llmrouter.db"
        source.report(("identity", "api_keys", "database"), "there is no database to look keys up in", fix)
    issuers: dict[str, str] = {}
    for name, issuer in shape.jwt.items():
        _check_issuer(source, ("identity", "jwt", name), issuer, directory)
        if issuer.issuer in issuers:
            message = f"is the issuer of {issuers[issuer.issuer]} too"
            source.report(("identity", "jwt", name, "issuer"), message, "Describe each issuer once")
        issuers.setdefault(issuer.issuer, name)
    if shape.mtls.identities and not _asks_for_certificates(document) and not document.server.dropped:
        fix = "Write `server: {tls: {cert_file: ..., key_file: ..., client_ca_file: ...}}`"
        source.report(("identity", "mtls"), "client certificates are not asked for", fix)
    for at, grants in _granted(shape):
        _check_grants(source, at, grants, document)


def _check_pepper(source: Source, shape: ApiKeysShape, directory: Path) -> None:
    at: Location = ("identity", "api_keys")
    for place, text in _peppers(source, at, shape):
        if place not in source.unusable and not names_a_variable(source, place, text) and len(text) < _LEAST_PEPPER:
            fix = "Make one, for example with `openssl rand -hex 32`"
            source.report(place, f"is shorter than {_LEAST_PEPPER} characters", fix)
    if shape.pepper_file is not None:
        content = content_of(source, (*at, "pepper_file"), shape.pepper_file, directory)
        if content is not None and len(content.strip()) < _LEAST_PEPPER:
            source.report((*at, "pepper_file"), f"holds less than {_LEAST_PEPPER} characters", "Make a longer one")
        if shape.pepper is not None:
            source.report((*at, "pepper"), "is given beside `pepper_file`", "Remove one of the two")
    hashed = shape.database or any(key.hash is not None for key in shape.keys.values())
    if hashed and shape.pepper is None and shape.pepper_file is None:
        fix = 'Make one with `openssl rand -hex 32` and write pepper: "${LLMROUTER_KEY_PEPPER}"'
        source.report((*at, "pepper"), "is required where hashes of keys are kept", fix)


def _peppers(source: Source, at: Location, shape: ApiKeysShape) -> Iterator[tuple[Location, str]]:
    if shape.pepper is not None:
        yield (*at, "pepper"), shape.pepper
    for number, text in enumerate(shape.previous_peppers):
        yield source.known((*at, "previous_peppers", number)), text


def _check_keys(source: Source, shape: ApiKeysShape, directory: Path) -> None:
    taken: dict[str, str] = {}
    for name, key in shape.keys.items():
        at: Location = ("identity", "api_keys", "keys", name)
        given = [field for field in ("key", "key_file", "hash") if getattr(key, field) is not None]
        if len(given) != 1:
            message = f"gives {' and '.join(given)}" if given else "gives neither key nor hash"
            source.report(at, message, "Give one of `key`, `key_file` and `hash`", at_key=True)
            continue
        public_id = _public_id(source, at, key, directory)
        if public_id and public_id in taken:
            source.report(at, f"is the same key as {taken[public_id]}", "Make another one", at_key=True)
        taken.setdefault(public_id, name)


def _public_id(source: Source, at: Location, key: DeclaredKeyShape, directory: Path) -> str:
    """The public id of a declared key; empty where the key is not usable, which is noted."""
    if key.hash is not None:
        return key.hash.partition(":")[0]
    if key.key is not None:
        place, text = (*at, "key"), key.key
        if place in source.unusable or names_a_variable(source, place, text):
            return ""
        if place not in source.environment:
            source.report(place, "the key itself is written into the file", 'Write key: "${VARIABLE}", or its `hash`')
            return ""
    else:
        place = (*at, "key_file")
        content = content_of(source, place, key.key_file or "", directory)
        if content is None:
            return ""
        text = content.decode("utf-8", "replace")
    if not _KEY.fullmatch(text.strip()):
        source.report(place, "holds no API key of this router", _MAKE_A_KEY)
        return ""
    return text.strip()[:15]


def _check_issuer(source: Source, at: Location, shape: IssuerShape, directory: Path) -> None:
    if importlib.util.find_spec("jwt") is None or importlib.util.find_spec("cryptography") is None:
        fix = "Install them: pip install 'llmrouter[jwt]'"
        source.report(at, "tokens need the packages PyJWT and cryptography, which are not installed", fix, at_key=True)
    if (shape.jwks_url is None) == (shape.jwks_file is None):
        message = "gives both jwks_url and jwks_file" if shape.jwks_url else "gives neither jwks_url nor jwks_file"
        source.report(at, message, "Give one of the two", at_key=True)
    if shape.jwks_url is not None and not _is_protected(shape.jwks_url):
        source.report((*at, "jwks_url"), "is not protected: who answers decides who may call", "Use an https URL")
    if shape.jwks_file is not None:
        content = content_of(source, (*at, "jwks_file"), shape.jwks_file, directory)
        if content is not None and not _is_key_set(content):
            fix = 'Write the issuer\'s public keys into it: {"keys": [...]}'
            source.report((*at, "jwks_file"), f"{shape.jwks_file} is no JWKS", fix)
    if not shape.audience:
        source.report((*at, "audience"), "names nobody", "Name this service as the issuer's tokens do in `aud`")
    by_claim = shape.claims.tenant is not None
    if (shape.tenant is not None) == by_claim:
        message = "gives both tenant and claims.tenant" if by_claim else "gives no tenant"
        source.report(at, message, "Give one of `tenant` and `claims: {tenant: ...}`", at_key=True)
    if shape.tenants is not None and not by_claim:
        source.report((*at, "tenants"), "has no meaning without claims.tenant", "Remove it")


def _is_protected(url: str) -> bool:
    parts = urlsplit(url)
    if parts.scheme == "https" or parts.hostname == "localhost":
        return True
    try:
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


def _is_key_set(content: bytes) -> bool:
    try:
        keys = json.loads(content)["keys"]
    except (ValueError, KeyError, TypeError):
        return False
    return isinstance(keys, list) and bool(keys)


def _granted(shape: IdentityShape) -> Iterator[tuple[Location, GrantsShape]]:
    for name, key in shape.api_keys.keys.items():
        yield ("identity", "api_keys", "keys", name), key
    for name, issuer in shape.jwt.items():
        yield ("identity", "jwt", name), issuer
    for name, granted in shape.mtls.identities.items():
        yield ("identity", "mtls", "identities", name), granted
    if shape.anonymous is not None:
        yield ("identity", "anonymous"), shape.anonymous


def _check_grants(source: Source, at: Location, shape: GrantsShape, document: Document) -> None:
    for field in ("features", "models", "policies", "tiers"):
        names: list[str] = getattr(shape, field)
        if "*" in names and len(names) > 1:
            source.report((*at, field), '"*" grants all, the others nothing more', 'Write "*" alone, or the others')
    models = {*document.models, *(piece.shape.model or "" for piece in document.models.values() if piece.shape)}
    _check_names(source, (*at, "models"), shape.models, "model or deployment", models)
    _check_names(source, (*at, "policies"), shape.policies, "policy", document.policies)


def _check_names(source: Source, at: Location, names: list[str], kind: str, known: Iterable[str]) -> None:
    known = set(known)
    for number, name in enumerate(names):
        if name != "*" and name not in known:
            fix = nearest(name, known) or f"Name one of {', '.join(sorted(known - {''}))}"
            source.report(source.known((*at, number)), f"there is no {kind} {name}", fix)


def _asks_for_certificates(document: Document) -> bool:
    """Whether either edge asks clients for theirs."""
    server = document.server.shape
    if server is None:
        return False
    files = [server.tls, None if server.http is None else server.http.tls]
    return any(tls is not None and tls.client_ca_file is not None for tls in files)
