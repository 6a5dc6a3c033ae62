"""Addresses, URLs and headers as the file writes them."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, WithJsonSchema

from router_service.config.quantity import REFERENCE, refuse
from router_service.config.vendors import Vendor

_CHAT_COMPLETIONS = "/chat/completions"
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_METADATA_NAME = re.compile(r"[0-9A-Za-z_.\-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def check_readable(url: str) -> None:
    """Refuse, in a validator, a URL whose password hides its host or port. The message does not hold the URL."""
    try:
        urlsplit(url).port  # noqa: B018 - raises where it is no number
    except ValueError:
        refuse(
            "the URL cannot be read",
            "Percent-encode the password (/ is %2F, # %23, ? %3F, [ %5B, ] %5D); the port is a number",
        )


def _parts(value: str, example: str) -> SplitResult:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not value.isascii() or re.search(r"[\s\x00-\x1f\x7f]", value):
        refuse("is not a URL", f"Write a URL such as {example}")
    return parts


def _url(value: str) -> str:
    parts = _parts(value, "https://api.example.com/v1")
    if "@" in parts.netloc:
        refuse("the URL holds a user or a password", "Remove all before the @; give a key with `api_key` or `headers`")
    if "?" in value or "#" in value:
        refuse("the URL holds a query or a fragment", "End it before the ? or #; query parameters go under `query`")
    return value.rstrip("/")


def _base_url(value: str) -> str:
    url = _url(value)
    if url.endswith(_CHAT_COMPLETIONS):
        refuse(f"ends in {_CHAT_COMPLETIONS}, which is added to it", f"Remove {_CHAT_COMPLETIONS} from its end")
    return url


def _proxy(value: str) -> str:
    scheme, mark, _ = value.partition("://")
    if mark and scheme.lower().startswith("socks"):
        refuse("a SOCKS proxy is not supported", "Give the http:// or https:// URL of an HTTP proxy")
    _parts(value, "http://proxy.example.com:3128")
    return value


def _address(value: str) -> str:
    if value.startswith("unix:"):
        return value
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.%]+\]|[^:\[\]\s]*):(\d+)", value)
    if not match or int(match[2]) > 65535:
        refuse("is not an address", "Write host:port such as 127.0.0.1:50051, or unix:/path/to/socket")
    return value


def _headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            refuse(
                f"{name!r} cannot be the name of a header", "Use ASCII letters, digits and -, without blanks or colons"
            )
        if _CONTROL.search(value):
            refuse(
                f"the header {name} holds a line feed or another control character",
                "Write its value on one line; `>-` and `|-` leave out the line feed at the end",
            )
    return headers


def _metadata(headers: dict[str, str]) -> dict[str, str]:
    for name, value in _headers(headers).items():
        if not _METADATA_NAME.fullmatch(name):
            refuse(f"{name!r} cannot be the name of a gRPC header", "Use ASCII letters, digits, -, _ and .")
        if not value.isascii():
            refuse(f"the header {name} holds characters beyond ASCII", "Use ASCII characters only")
    return headers


def completed(vendor: Vendor, url: str) -> str:
    """The base URL, with the preset's path where it has none of its own: an Azure endpoint or an Ollama host is known
    without it."""
    return url if urlsplit(url).path.rstrip("/") else url.rstrip("/") + urlsplit(vendor.base_url).path


_URL_SCHEMA = {"type": "string", "pattern": rf"^https?://[^\s/?#@]+(/[^\s?#]*)?$|{REFERENCE}"}
_PROXY_SCHEMA = {"type": "string", "pattern": rf"^https?://|{REFERENCE}"}
_ADDRESS_SCHEMA = {
    "type": "string",
    "pattern": rf"^unix:|^(\[[0-9A-Fa-f:.%]+\]|[^:\[\]\s]*):[0-9]+$|{REFERENCE}",
}
_HEADERS_SCHEMA = {
    "type": "object",
    "propertyNames": {"pattern": f"^{_HEADER_NAME.pattern}$"},
    "additionalProperties": {"type": "string"},
}

Url = Annotated[str, AfterValidator(_url), WithJsonSchema(_URL_SCHEMA)]
"""An http or https URL without user, query and fragment."""

BaseUrl = Annotated[str, AfterValidator(_base_url), WithJsonSchema(_URL_SCHEMA)]
"""A URL to which /chat/completions is added."""

Proxy = Annotated[str, AfterValidator(_proxy), WithJsonSchema(_PROXY_SCHEMA)]
"""URL of an HTTP proxy; it may hold a user and a password."""

Address = Annotated[str, AfterValidator(_address), WithJsonSchema(_ADDRESS_SCHEMA)]
"""host:port or unix:path."""

Headers = Annotated[dict[str, str], AfterValidator(_headers), WithJsonSchema(_HEADERS_SCHEMA)]
"""HTTP headers that can be sent."""

Metadata = Annotated[dict[str, str], AfterValidator(_metadata), WithJsonSchema(_HEADERS_SCHEMA)]
"""gRPC headers that can be sent."""
