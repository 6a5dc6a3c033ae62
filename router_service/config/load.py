"""Read a configuration from a file or, where there is none, from the keys in the environment."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from router_service.config.advice import advise
from router_service.config.compilation import Catalogue, Compiler
from router_service.config.configuration import Configuration
from router_service.config.document import Document, check
from router_service.config.limits_compilation import check_limits
from router_service.config.problem import ConfigurationError, Problem
from router_service.config.references import check_references
from router_service.config.router_file import RouterFileError
from router_service.config.source import Source, parse
from router_service.config.vendors import VENDORS, Vendor
from router_service.config.workers_check import check_workers

__all__ = ["Catalogue", "from_environment", "load", "review"]

logger = logging.getLogger(__name__)


def load(path: Path, catalogue: Catalogue, environ: Mapping[str, str]) -> Configuration:
    """Read, check and compile a file; raises `ConfigurationError` with everything that is wrong with it.

    The catalogue gives prices and windows where the file does not. `environ` fills in `${NAME}` and is kept, so that
    secrets follow it. Relative files are looked for in the configuration file's directory.
    """
    source = _read(path, environ)
    return _compiled(source, _checked(source, environ, path.parent), catalogue, environ, path)


def review(path: Path, catalogue: Catalogue, environ: Mapping[str, str]) -> tuple[Configuration, tuple[Problem, ...]]:
    """As `load`, with what is allowed and hardly meant, in the file's order."""
    source = _read(path, environ)
    document = _checked(source, environ, path.parent)
    configuration = _compiled(source, document, catalogue, environ, path)
    advise(source, document, configuration)
    return configuration, tuple(sorted(source.warnings, key=lambda warning: (warning.line, warning.column)))


def _read(path: Path, environ: Mapping[str, str]) -> Source:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as exc:
        message = f"cannot read the file: {exc.strerror}"
        raise _unreadable(path, message, "Check the path and the permissions") from exc
    except UnicodeDecodeError as exc:
        raise _unreadable(path, "is not UTF-8 text", "Save the file as UTF-8") from exc
    return parse(text, str(path), environ)


def _unreadable(path: Path, message: str, fix: str) -> ConfigurationError:
    return ConfigurationError([Problem(file=str(path), line=1, column=1, path="", message=message, fix=fix)])


def _checked(source: Source, environ: Mapping[str, str], directory: Path) -> Document:
    document = check(source)
    check_references(source, document, directory)
    check_limits(source, document, environ)
    check_workers(source, document)
    if source.problems:
        raise ConfigurationError(source.problems)
    return document


def _compiled(
    source: Source, document: Document, catalogue: Catalogue, environ: Mapping[str, str], file: Path | None
) -> Configuration:
    compiler = Compiler(source, document, catalogue=catalogue, environ=environ, file=file)
    try:
        return compiler.configuration()
    except RouterFileError as error:
        message, fix = f"a router file {error}", "It changed while it was read: try again"
        raise ConfigurationError(
            [Problem(file=str(file), line=1, column=1, path="", message=message, fix=fix)]
        ) from error


def from_environment(environ: Mapping[str, str], catalogue: Catalogue) -> Configuration:
    """A configuration of every provider whose key (or, for local servers, whose address) is in the environment.

    Complex calls go to the strongest models, all others to the cheapest one that can serve them, each with all other
    models to fall back on. Raises `ConfigurationError` where the environment names no provider completely; beside
    others, one that lacks a variable is left out, and the log says so.
    """
    source = Source("environment", has_lines=False)
    providers: dict[str, Any] = {}
    models: dict[str, Any] = {}
    cheap: list[str] = []
    strong: list[str] = []
    incomplete: list[Problem] = []
    for vendor in VENDORS.values():
        present, missing = _variables(vendor, environ)
        if not present:
            continue
        if missing:
            incomplete.append(_environment_problem(f"{missing[0]} is not set, which {present[0]} needs", missing))
            continue
        providers[vendor.id] = _provider(source, vendor, environ)
        named = _models_named(vendor, environ)
        for names, ids in ((named or vendor.cheap, cheap), (() if named else vendor.strong, strong)):
            for name in names:
                models[f"{vendor.id}/{name}"] = {"provider": vendor.id, "model": name}
                ids.append(f"{vendor.id}/{name}")
    if not providers:
        raise ConfigurationError(incomplete or [_no_provider()])
    for problem in incomplete:
        logger.warning("a provider is left out: %s", problem)
    rules: list[dict[str, Any]] = [{"name": "cheapest", "use": [*cheap, *strong], "strategy": "cheapest"}]
    if strong:
        rules.insert(0, {"name": "strongest", "when": {"complexity": "complex"}, "use": [*strong, *cheap]})
    policy = {"baseline": (strong or cheap)[0], "rules": rules}
    source.data = {"providers": providers, "models": models, "policies": {"default": policy}}
    return _compiled(source, _checked(source, environ, Path()), catalogue, environ, None)


def _no_provider() -> Problem:
    message = "there is no configuration file, and the environment holds no provider's key"
    variables = [vendor.key_variables[0] for vendor in VENDORS.values() if vendor.key_required]
    fix = f"Set one of {', '.join(variables)}, or OLLAMA_HOST, or write a configuration file"
    return Problem(file="environment", line=0, column=0, path="", message=message, fix=fix)


def _environment_problem(message: str, missing: list[str]) -> Problem:
    fix = f"Set {' and '.join(missing)}, or write a configuration file"
    return Problem(file="environment", line=0, column=0, path="", message=message, fix=fix)


def _variables(vendor: Vendor, environ: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """The vendor's variables that are set, and those that it needs beside them."""
    own = [*vendor.key_variables, vendor.url_variable, vendor.models_variable]
    present = [name for name in own if name and environ.get(name)]
    missing: list[str] = []
    if vendor.key_required and not set(present) & set(vendor.key_variables):
        missing.append(vendor.key_variables[0])
    needs_url = not vendor.base_url or "{resource}" in vendor.base_url or not vendor.key_required
    if needs_url and vendor.url_variable not in present:
        missing.append(vendor.url_variable)
    if not vendor.cheap and not _models_named(vendor, environ):
        missing.append(vendor.models_variable)
    return present, missing


def _models_named(vendor: Vendor, environ: Mapping[str, str]) -> list[str]:
    listed = environ.get(vendor.models_variable, "") if vendor.models_variable else ""
    return [name.strip() for name in listed.split(",") if name.strip()]


def _provider(source: Source, vendor: Vendor, environ: Mapping[str, str]) -> dict[str, Any]:
    provider: dict[str, Any] = {}
    if vendor.url_variable and (url := environ.get(vendor.url_variable)):
        provider["base_url"] = _base_url(vendor, url.strip())
        source.environment["providers", vendor.id, "base_url"] = vendor.url_variable
    for variable in vendor.key_variables:
        # Whoever sets a vendor's address and its key means them together, whatever the host.
        if "api_key" not in provider and environ.get(variable):
            provider["api_key"] = environ[variable]
            source.environment["providers", vendor.id, "api_key"] = variable
    return provider


def _base_url(vendor: Vendor, url: str) -> str:
    """The URL, completed as the vendor's own tools do: OLLAMA_HOST may be a bare host. What is no URL is left as it
    is, to be reported."""
    usual = urlsplit(vendor.base_url)
    bare = "://" not in url
    try:
        parts = urlsplit(f"{usual.scheme}://{url}" if bare else url)
        port = parts.port
    except ValueError:
        return url
    if bare and not usual.scheme:
        return url
    # 0.0.0.0 is where a server listens, not where it is reached.
    netloc = parts.netloc.replace("0.0.0.0", "127.0.0.1")  # noqa: S104
    if bare and port is None and usual.port:
        netloc = f"{netloc}:{usual.port}"
    return parts._replace(netloc=netloc).geturl()
