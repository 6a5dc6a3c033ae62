"""Read a configuration from a file or, where there is none, from the keys in the environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from router_service.config.compilation import Catalogue, Compiler
from router_service.config.configuration import Configuration
from router_service.config.document import check
from router_service.config.problem import ConfigurationError, Problem
from router_service.config.references import check_references
from router_service.config.source import Source, parse
from router_service.config.vendors import VENDORS, Vendor

__all__ = ["Catalogue", "from_environment", "load"]


def load(path: Path, catalogue: Catalogue, environ: Mapping[str, str]) -> Configuration:
    """Read, check and compile a file; raises `ConfigurationError` with everything that is wrong with it.

    The catalogue gives prices and windows where the file does not. `environ` fills in `${NAME}` and is kept, so that
    secrets follow it. Relative files are looked for in the configuration file's directory.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as exc:
        message = f"cannot read the file: {exc.strerror}"
        raise _unreadable(path, message, "Check the path and the permissions") from exc
    except UnicodeDecodeError as exc:
        raise _unreadable(path, "is not UTF-8 text", "Save the file as UTF-8") from exc
    return _compiled(parse(text, str(path), environ), catalogue, environ, path)


def _unreadable(path: Path, message: str, fix: str) -> ConfigurationError:
    return ConfigurationError([Problem(file=str(path), line=1, column=1, path="", message=message, fix=fix)])


def _compiled(source: Source, catalogue: Catalogue, environ: Mapping[str, str], file: Path | None) -> Configuration:
    document = check(source)
    check_references(source, document, file.parent if file else Path())
    if source.problems:
        raise ConfigurationError(source.problems)
    compiler = Compiler(source, document, catalogue=catalogue, environ=environ, file=file)
    return compiler.configuration()


def from_environment(environ: Mapping[str, str], catalogue: Catalogue) -> Configuration:
    """A configuration of every provider whose key (or, for local servers, whose address) is in the environment.

    Complex calls go to the strongest models, all others to the cheapest one that can serve them, each with all other
    models to fall back on. Raises `ConfigurationError` where the environment names no provider.
    """
    source = Source("environment")
    providers: dict[str, Any] = {}
    models: dict[str, Any] = {}
    cheap: list[str] = []
    strong: list[str] = []
    for vendor in VENDORS.values():
        named = _models_named(vendor, environ)
        if not _available(vendor, environ) or not (named or vendor.cheap):
            continue
        providers[vendor.id] = _provider(source, vendor, environ)
        for names, ids in ((named or vendor.cheap, cheap), (() if named else vendor.strong, strong)):
            for name in names:
                models[f"{vendor.id}/{name}"] = {"provider": vendor.id, "model": name}
                ids.append(f"{vendor.id}/{name}")
    if not providers:
        variables = [vendor.key_variables[0] for vendor in VENDORS.values() if vendor.key_required]
        fix = f"Set one of {', '.join(variables)}, or OLLAMA_HOST, or write a configuration file"
        message = "there is no configuration file, and the environment holds no provider's key"
        problem = Problem(file="environment", line=1, column=1, path="", message=message, fix=fix)
        raise ConfigurationError([problem])
    rules: list[dict[str, Any]] = [{"name": "cheapest", "use": [*cheap, *strong], "strategy": "cheapest"}]
    if strong:
        rules.insert(0, {"name": "strongest", "when": {"complexity": "complex"}, "use": [*strong, *cheap]})
    policy = {"baseline": (strong or cheap)[0], "rules": rules}
    source.data = {"providers": providers, "models": models, "policies": {"default": policy}}
    return _compiled(source, catalogue, environ, None)


def _available(vendor: Vendor, environ: Mapping[str, str]) -> bool:
    has_key = any(environ.get(variable) for variable in vendor.key_variables)
    has_url = bool(vendor.url_variable and environ.get(vendor.url_variable))
    needs_url = not vendor.base_url or "{resource}" in vendor.base_url
    if vendor.key_required:
        return has_key and (has_url or not needs_url)
    return has_url


def _models_named(vendor: Vendor, environ: Mapping[str, str]) -> list[str]:
    listed = environ.get(vendor.models_variable, "") if vendor.models_variable else ""
    return [name.strip() for name in listed.split(",") if name.strip()]


def _provider(source: Source, vendor: Vendor, environ: Mapping[str, str]) -> dict[str, Any]:
    if not vendor.url_variable or not (url := environ.get(vendor.url_variable)):
        return {}
    provider = {"base_url": _base_url(vendor, url)}
    for variable in vendor.key_variables:
        # Whoever sets a vendor's address and its key means them together, whatever the host.
        if "api_key" not in provider and environ.get(variable):
            provider["api_key"] = environ[variable]
            source.environment["providers", vendor.id, "api_key"] = variable
    return provider


def _base_url(vendor: Vendor, url: str) -> str:
    """The URL, completed as the vendor's own tools do: OLLAMA_HOST may be a bare host, Azure's endpoint has no path."""
    bare = "://" not in url
    parts = urlsplit(f"http://{url}" if bare else url)
    usual = urlsplit(vendor.base_url)
    # 0.0.0.0 is where a server listens, not where it is reached.
    netloc = parts.netloc.replace("0.0.0.0", "127.0.0.1")  # noqa: S104
    if bare and parts.port is None and usual.port:
        netloc = f"{netloc}:{usual.port}"
    return f"{parts.scheme}://{netloc}{parts.path.rstrip('/') or usual.path}"
