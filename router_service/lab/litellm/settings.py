"""What a litellm file says of the router as a whole: server, database, Redis, ledger, the master key, callbacks."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from router_service.lab.litellm.fields import OBSERVED
from router_service.lab.litellm.findings import Findings, Kind, Section

_EVERYTHING = {"features": "*", "models": "*", "policies": "*", "tiers": "*"}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


class Settings:
    """Reads the three sections of settings, of which it takes what is no policy's."""

    def __init__(self, findings: Findings, router: Section, litellm: Section, general: Section) -> None:
        self._findings = findings
        self._router, self._litellm, self._general = router, litellm, general

    def content(self, policies: Mapping[str, Any]) -> dict[str, Any]:
        """The sections `server`, `storage`, `identity`, `ledger` and `redis`, and the default policy."""
        content: dict[str, Any] = {}
        server = {
            "max_concurrent_calls": self._general.take_number("global_max_parallel_requests"),
            "max_message_bytes": _megabytes(self._general.take_number("max_request_size_mb")),
        }
        storage: dict[str, Any] = {}
        if (url := self._general.take("database_url")) is not None:
            at = self._general.where("database_url")
            storage["url"] = self._findings.secret(url, at, "DATABASE_URL", Kind.POSTGRESQL)
            self._findings.note(at, "give this router a database of its own; nothing of litellm's tables is read")
        storage["max_connections"] = self._general.take_number("database_connection_pool_limit")
        storage["connect_timeout"] = self._general.take_number("database_connection_timeout")
        default = self._general.take("completion_model")
        if default is not None and default not in policies:
            self._findings.leave(self._general.where("completion_model"), f"no deployment of {default} is mapped")
        for name, settings in (
            ("server", server), ("storage", storage), ("identity", self._identity()),
            ("ledger", self._ledger()), ("redis", self._redis()),
        ):  # fmt: skip
            content[name] = {key: value for key, value in settings.items() if value is not None}
        content["default_policy"] = default if default in policies else next(iter(policies), None)
        self._always_on()
        return content

    def _identity(self) -> dict[str, Any]:
        if self._general.take("master_key") is None:
            return {}
        at = self._general.where("master_key")
        new = self._findings.variable("LLMROUTER_MASTER_KEY", at, Kind.API_KEY, "to be made anew")
        what = (
            "callers need a new key: those of this router begin with rk_ (docs/authentication.md says how to make one)"
        )
        self._findings.note(at, what)
        key = {"key": new, "tenant": "default", "roles": ["admin"], **_EVERYTHING}
        return {"api_keys": {"keys": {"litellm-master": key}}}

    def _ledger(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        period = self._general.take("maximum_spend_logs_retention_period")
        if period is not None:
            at = self._general.where("maximum_spend_logs_retention_period")
            match = re.fullmatch(r"(\d+)([smhdw])", str(period).strip())
            if match:
                found["retention_days"] = max(1, math.ceil(int(match[1]) * _SECONDS[match[2]] / _SECONDS["d"]))
            else:
                self._findings.leave(at, "it is not a duration such as 30d")
        if self._general.take("store_prompts_in_spend_logs"):
            found["texts"] = {"prompts": True, "answers": True}
            what = "prompts and answers are recorded, and deleted after 30 days unless `retention_days` says otherwise"
            self._findings.note(self._general.where("store_prompts_in_spend_logs"), what)
        return found

    def _redis(self) -> dict[str, Any]:
        section = self._router
        url, host = section.take("redis_url"), section.take_text("redis_host")
        port, database = section.take_number("redis_port"), section.take_number("redis_db")
        password = section.take("redis_password")
        if url is not None:
            return {"url": self._findings.secret(url, section.where("redis_url"), "REDIS_URL", Kind.REDIS)}
        if host is None:
            return {}
        known = ""
        if password is not None:
            known = ":" + self._findings.secret(password, section.where("redis_password"), "REDIS_PASSWORD") + "@"
            what = "it becomes a part of the URL: signs such as / and @ in it have to be percent-encoded"
            self._findings.note(section.where("redis_password"), what)
        end = "" if database is None else f"/{database}"
        return {"url": f"redis://{known}{host}:{port or 6379}{end}"}

    def _always_on(self) -> None:
        """What this router always does, and callbacks."""
        for section, key, what in (
            (self._router, "enable_pre_call_checks", "prompts that do not fit a model's window are never sent to it"),
            (self._router, "enable_pre_call_check", "prompts that do not fit a model's window are never sent to it"),
            (self._litellm, "drop_params", "what a preset's provider refuses is always left out"),
            (self._litellm, "turn_off_message_logging", "prompts are never logged"),
        ):
            if section.take(key) is False:
                self._findings.leave(section.where(key), what)
        for key in ("success_callback", "failure_callback", "callbacks", "service_callbacks"):
            given = self._litellm.take(key)
            for number, name in enumerate(given if isinstance(given, list) else [] if given is None else [given]):
                at = (*self._litellm.where(key), number)
                if str(name) in OBSERVED:
                    self._findings.note(at, "set OTEL_EXPORTER_OTLP_ENDPOINT: traces and metrics go there")
                else:
                    self._findings.leave(at, f"{name} is not called; send it traces over OTLP where it takes them")


def _megabytes(value: Any) -> Any:
    return f"{value}MB" if value is not None else None
