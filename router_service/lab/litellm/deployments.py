"""The entries of `model_list`, each as a deployment of this router at one of its providers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlsplit

from router_service.config.source import Location
from router_service.config.vendors import VENDORS
from router_service.domain.chat import ReasoningEffort
from router_service.domain.deployment import Capability, ModelFacts
from router_service.lab.litellm.fields import ENTRY, INFO, PARAMETERS, PARAMS, SUPPORTS, reasons
from router_service.lab.litellm.findings import Findings, Kind, Section
from router_service.lab.litellm.upstreams import OTHER_DIALECTS, UPSTREAMS, Upstream, parted

_PLACEHOLDERS = frozenset({"", "none", "null", "empty", "dummy", "na", "n/a", "no-key", "not-needed", "anything"})
_CREDENTIALS = ("authorization", "key", "token", "secret", "password", "cookie")
_PER_MILLION = 1_000_000
_RATES = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cached_input": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost",
}
_NANO_PER_USD = 10**9
_PERIODS = {"1h": "hour", "60m": "hour", "1d": "day", "24h": "day", "30d": "month", "1mo": "month"}

Catalogue = Callable[[str, str], ModelFacts | None]
"""Facts of a model by its vendor (the preset's id) and the name it has there."""


@dataclass(slots=True, kw_only=True)
class Entry:
    """One deployment: `settings` are those of `models.<id>`; the others become its group's."""

    at: Location
    group: str
    id: str = ""
    stated_id: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    order: int = 0
    is_last: bool = False
    parameters: dict[str, Any] = field(default_factory=dict)
    max_tokens: Any = None
    timeout: Any = None
    stream_timeout: Any = None
    retries: Any = None
    budget: dict[str, Any] | None = None


class Deployments:
    """Reads entries one by one; `providers` are those that they need."""

    def __init__(
        self, findings: Findings, credentials: Mapping[str, tuple[Location, Mapping[str, Any]]], catalogue: Catalogue
    ) -> None:
        self.providers: dict[str, dict[str, Any]] = {}
        self._findings = findings
        self._credentials = credentials
        self._catalogue = catalogue

    def read(self, raw: Any, at: Location, defaults: Mapping[str, Any], groups: frozenset[str]) -> Entry | None:
        """The entry; `None` where it cannot be called from here, which is noted as left out.

        `defaults` are parameters that it does not state; `groups` are the names that callers use.
        """
        entry = Section(self._findings, at, raw, reasons(ENTRY))
        name = str(entry.take("model_name") or "")
        stated, info = entry.take("litellm_params"), entry.take("model_info")
        rates = {key: entry.take_number(key) for key in ("rpm", "tpm")}
        entry.finish()
        params = Section(self._findings, (*at, "litellm_params"), stated, reasons(PARAMS))
        facts = Section(self._findings, (*at, "model_info"), info, reasons(INFO))
        found = self._upstream(params, facts, name)
        if found is None:
            return None
        kind, upstream, model = found
        made = Entry(at=at, group=name)
        made.settings["provider"] = self._provider(kind, upstream, params)
        made.settings["upstream_name"] = model
        made.settings.update({key: value for key, value in rates.items() if value is not None})
        self._rates_and_bounds(made, params)
        self._facts(made, facts, params, upstream.preset, model, groups)
        self._for_the_group(made, params, defaults)
        made.budget = budget(params)
        if params.take("drop_params") is False:
            self._findings.leave(params.where("drop_params"), "what a preset's provider refuses is always left out")
        made.stated_id = str(facts.take("id") or "")
        made.id = made.stated_id or f"{kind}/{model}"
        params.finish()
        facts.finish()
        return made

    def _upstream(self, params: Section, facts: Section, name: str) -> tuple[str, Upstream, str] | None:
        """The litellm provider, what it is here, and its name of the model."""
        model, custom = str(params.take("model") or ""), str(params.take("custom_llm_provider") or "")
        mode = str(facts.take("mode") or "chat")
        kind, upstream_name = parted(model, custom)
        upstream, why = UPSTREAMS.get(kind), ""
        if not name or not model:
            why = "an entry needs model_name and litellm_params.model"
        elif "*" in name or "*" in model:
            why = "wildcards: name each model that is to be called"
        elif mode != "chat":
            why = f"its mode is {mode}; chat is what is routed here"
        elif kind in OTHER_DIALECTS:
            why = f"{kind} does not speak OpenAI's chat completions with a key; reach it through a server that does"
        elif upstream is None and params.has("api_base"):
            # litellm itself would refuse the name; an OpenAI-compatible server is what people mean.
            upstream, upstream_name = UPSTREAMS["openai_like"], model
        elif upstream is None:
            why = f"{kind} is no provider that this import knows" if kind else "nothing tells the provider of its model"
        elif upstream_name.startswith(("responses/", "o_series/")):
            upstream_name = upstream_name.partition("/")[2]
            self._findings.note(params.where("model"), "it is called by chat completions")
        if upstream is None or why:
            self._findings.leave(params.at[:-1], f"the whole entry, for {why}")
            return None
        return kind or "openai_like", upstream, upstream_name

    # The provider

    def _provider(self, kind: str, upstream: Upstream, params: Section) -> str:
        credential = self._credential(params)
        base = params.take_text("api_base", Kind.URL)
        base = params.take_text("base_url", Kind.URL) or base or credential.take_text("api_base", Kind.URL)
        preset = upstream.preset
        if base and preset == "openai" and not _is_at(base, "openai.com"):
            preset = "custom"
            if "${" in base:
                what = "taken for a server of your own; write `preset: openai` for this provider where it is OpenAI's"
                self._findings.note(params.where("api_base"), what)
        settings: dict[str, Any] = {} if preset == kind else {"preset": preset}
        if base or upstream.base_url:
            settings["base_url"] = _without_path(base) if base and kind == "azure" else base or upstream.base_url
        key = self._key(kind, upstream, params, credential, base=base, preset=preset)
        if key:
            settings["api_key"] = key
        if headers := self._headers(params):
            settings["headers"] = headers
        for section in (params, credential):
            if section.has("api_version"):
                version = section.take("api_version")
                if version not in ("v1", "preview", "latest"):
                    what = "Azure's v1 API is called, which takes no dated version"
                    self._findings.note(section.where("api_version"), what)
        credential.finish()
        return self._named(kind, settings)

    def _credential(self, params: Section) -> Section:
        name = params.take("litellm_credential_name")
        at, values = self._credentials.get(str(name), (params.where("litellm_credential_name"), {}))
        if name is not None and not values:
            self._findings.leave(at, "credential_list has no values of that name")
        return Section(self._findings, at, values, reasons(PARAMS))

    def _key(
        self, kind: str, upstream: Upstream, params: Section, credential: Section, *, base: str | None, preset: str
    ) -> str:
        for section in (params, credential):
            key = section.take("api_key")
            if key is None:
                continue
            at = section.where("api_key")
            if str(key).strip().lower() in _PLACEHOLDERS:
                self._findings.note(at, "says that there is no key: none is sent")
                return ""
            return self._findings.secret(key, at, f"{kind.upper().replace('-', '_')}_API_KEY")
        if not upstream.key or (preset == "custom" and kind == "openai"):
            if base and kind == "openai":
                what = (
                    "litellm would send OPENAI_API_KEY to this server; here no key leaves its own host unless told to"
                )
                self._findings.note(params.at, what)
            return ""
        return self._findings.variable(upstream.key, params.at)

    def _headers(self, params: Section) -> dict[str, str]:
        headers: dict[str, str] = {}
        organization = params.take("organization")
        if isinstance(organization, str):
            headers["OpenAI-Organization"] = self._findings.text(organization, params.where("organization"))
        elif organization is not None:
            self._findings.leave(params.where("organization"), "write an entry for each organization")
        for key in ("extra_headers", "headers"):
            given = params.take(key)
            for name, value in (given if isinstance(given, dict) else {}).items():
                at = (*params.where(key), name)
                if any(word in name.lower() for word in _CREDENTIALS):
                    variable = "".join(letter if letter.isalnum() else "_" for letter in name.upper())
                    headers[name] = self._findings.secret(value, at, f"HEADER_{variable}")
                else:
                    headers[name] = self._findings.text(value, at)
        return headers

    def _named(self, kind: str, settings: dict[str, Any]) -> str:
        """The provider with these settings, which may be another deployment's too."""
        name, number = kind, 2
        while name in self.providers and self.providers[name] != settings:
            name, number = f"{kind}-{number}", number + 1
            # A name that is no preset's has to say which one it means.
            settings = {"preset": kind, **settings} if kind in VENDORS else settings
        self.providers[name] = settings
        return name

    # The deployment

    def _rates_and_bounds(self, made: Entry, params: Section) -> None:
        for key, ours in (("rpm", "rpm"), ("tpm", "tpm"), ("max_parallel_requests", "max_concurrent")):
            value = params.take_number(key)
            if isinstance(value, int | float) and value < 1:
                self._findings.leave(params.where(key), "less than 1 allows nothing: leave the deployment out")
            elif value is not None:
                made.settings[ours] = int(value) if isinstance(value, float) else value
        weight = params.take_number("weight")
        if isinstance(weight, int | float) and weight <= 0:
            made.is_last = True
        elif weight is not None:
            made.settings["weight"] = weight
        order = params.take_number("order")
        made.order = int(order) if isinstance(order, int | float) else 0
        if isinstance(order, str):
            self._findings.leave(params.where("order"), "it has to be a number in the file")
        if region := params.take_text("region_name"):
            made.settings["region"] = region.lower() if "${" not in region else region

    def _facts(
        self, made: Entry, facts: Section, params: Section, preset: str, model: str, groups: frozenset[str]
    ) -> None:
        settings = made.settings
        window, most = facts.take_number("max_input_tokens"), facts.take_number("max_output_tokens")
        legacy = facts.take_number("max_tokens")
        most = legacy if most is None else most
        if isinstance(window, int) and isinstance(most, int):
            window = max(window, most)
        settings.update(
            {key: value for key, value in (("context_window", window), ("max_output_tokens", most)) if value}
        )
        stated = {key: facts.take(key) for key in SUPPORTS}
        if any(value is not None for value in stated.values()):
            able = {one.value for one in VENDORS[preset].capabilities_of(model)}
            for key, capability in SUPPORTS.items():
                if stated[key] is not None:
                    able = able | {capability} if stated[key] else able - {capability}
            settings["capabilities"] = [one.value for one in Capability if one.value in able]
        price = self._price(facts, params)
        base = str(facts.take("base_model") or "").rpartition("/")[2]
        if base and base != model:
            if base not in groups:
                settings["model"] = base
            elif known := self._catalogue(preset, base):
                price = price or _listed(known)
                if known.context_window:
                    settings.setdefault("context_window", known.context_window)
        if price:
            settings["price"] = price

    def _price(self, facts: Section, params: Section) -> dict[str, Any]:
        price, at = {}, params.at
        for ours, theirs in _RATES.items():
            for section in (params, facts):
                value = section.take(theirs)
                if value is None or ours in price:
                    continue
                at = section.where(theirs)
                try:
                    price[ours] = _plain(Decimal(str(value)) * _PER_MILLION)
                except InvalidOperation:
                    self._findings.leave(at, "it is not a number")
        if price and not {"input", "output"} <= price.keys():
            self._findings.leave(at, "a price needs both input and output; the catalogue's is used")
            return {}
        return price

    def _for_the_group(self, made: Entry, params: Section, defaults: Mapping[str, Any]) -> None:
        for name in PARAMETERS:
            value = params.take(name)
            value = defaults.get(name) if value is None else value
            if name == "reasoning_effort" and value is not None and value not in set(ReasoningEffort):
                self._findings.leave(params.where(name), f"it is one of {', '.join(ReasoningEffort)} here")
            elif value is not None:
                made.parameters[name] = self._findings.number(value, params.where(name)) if name != "stop" else value
        limits = [params.take_number(name) for name in ("max_tokens", "max_completion_tokens")]
        made.max_tokens = next((one for one in limits if one is not None), defaults.get("max_tokens"))
        made.timeout, made.stream_timeout = params.take_number("timeout"), params.take_number("stream_timeout")
        made.retries = params.take_number("max_retries")


def budget(section: Section) -> dict[str, Any] | None:
    """The settings of a budget, from `max_budget` and `budget_duration`."""
    amount, duration = section.take_number("max_budget"), section.take("budget_duration")
    if amount is None:
        if duration is not None:
            section.findings.leave(section.where("budget_duration"), "there is no max_budget")
        return None
    period = "total" if duration is None else _PERIODS.get(str(duration))
    if period is None:
        why = f"budgets are of an hour, day or month of the calendar, not of {duration}"
        section.findings.leave(section.where("max_budget"), why)
        return None
    return {"usd": amount, "period": period}


def unique(entries: Iterable[Entry], taken: frozenset[str]) -> None:
    """Give every deployment a name of its own that is not one of `taken`, which callers use for groups."""
    known = set(taken)
    for entry in entries:
        name, number = entry.id, 2
        while name in known:
            name, number = f"{entry.id}-{number}", number + 1
        entry.id = name
        known.add(name)


def _is_at(url: str, domain: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host == domain or host.endswith(f".{domain}")


def _without_path(url: str) -> str:
    """An Azure endpoint, to which the preset adds its path."""
    parts = urlsplit(url)
    return url if not parts.netloc else f"{parts.scheme}://{parts.netloc}"


def _plain(amount: Decimal) -> str:
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _listed(facts: ModelFacts) -> dict[str, Any]:
    if facts.price is None:
        return {}
    return {
        kind: _plain(Decimal(rate.base) / _NANO_PER_USD)
        for kind, rate in (("input", facts.price.input), ("output", facts.price.output))
    }
