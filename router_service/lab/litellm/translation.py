"""A whole litellm configuration as one of this router: deployments, and a policy for each name that callers use."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from router_service.config.source import Location, Source
from router_service.lab.litellm.deployments import Catalogue, Deployments, Entry, budget, unique
from router_service.lab.litellm.fields import GENERAL, LITELLM, PARAMETERS, ROUTER, TOP, reasons
from router_service.lab.litellm.findings import Findings, Kind, Section
from router_service.lab.litellm.settings import Settings
from router_service.lab.litellm.upstreams import UPSTREAMS, parted

_STRATEGIES = {
    "simple-shuffle": "weighted",
    "usage-based-routing": "weighted",
    "usage-based-routing-v2": "weighted",
    "latency-based-routing": "fastest",
    "cost-based-routing": "cheapest",
}
_MOST_FALLBACKS = 5
_LEAST_ATTEMPTS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """The new file's content, without anything secret, and what there is to tell of it."""

    content: Mapping[str, Any]
    findings: Findings

    @property
    def is_usable(self) -> bool:
        """Whether there is anything to route to."""
        return bool(self.content["models"])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fallbacks:
    """Groups by the group that falls back on them; "*" stands for those that are not named."""

    ordinary: Mapping[str, Sequence[str]]
    default: Sequence[str]
    context: Mapping[str, Sequence[str]]
    content: Mapping[str, Sequence[str]]
    most: int

    def of(self, group: str) -> list[str]:
        """The groups that are asked after this one, theirs behind each, as litellm goes on from a fallback."""
        found: list[str] = []

        def follow(name: str) -> None:
            for one in self.ordinary.get(name) or self.ordinary.get("*") or self.default:
                if one != group and one not in found and len(found) < self.most:
                    found.append(one)
                    follow(one)

        follow(group)
        for special in (self.context, self.content):
            found += [one for one in special.get(group, special.get("*", ())) if one != group and one not in found]
        return found


def translate(source: Source, catalogue: Catalogue) -> Translation:
    """Translate a file that was read without problems. `catalogue` gives prices of base models."""
    return _Translator(source, catalogue).translation()


class _Translator:
    def __init__(self, source: Source, catalogue: Catalogue) -> None:
        self._findings = Findings(source)
        data = source.data
        self._top = Section(self._findings, (), data, reasons(TOP))
        self._raw = {key: self._top.take(key) for key in TOP if TOP[key].becomes}
        self._router = self._section("router_settings", reasons(ROUTER))
        self._litellm = self._section("litellm_settings", reasons(LITELLM))
        self._general = self._section("general_settings", reasons(GENERAL))
        self._defaults = self._section("router_settings", {}, "default_litellm_params", self._router)
        self._deployments = Deployments(self._findings, self._credentials(), catalogue)

    def translation(self) -> Translation:
        """Everything together."""
        self._environment()
        aliases = self._aliases()
        defaults, bounds = self._default_parameters(), self._default_bounds()
        entries = self._entries(defaults, frozenset(aliases))
        groups: dict[str, list[Entry]] = {}
        for entry in entries:
            groups.setdefault(entry.group, []).append(entry)
        aliases = {alias: group for alias, group in aliases.items() if self._knows(alias, group, groups)}
        unique(entries, frozenset({*groups, *aliases}))
        for entry in entries:
            if bounds is not None:
                entry.settings.setdefault("max_concurrent", bounds)
        _weigh(groups.values())
        members: dict[str, Sequence[Entry]] = {entry.stated_id: [entry] for entry in entries if entry.stated_id}
        members |= groups
        members |= {alias: groups[group] for alias, group in aliases.items()}
        policies = self._policies(groups, self._fallbacks(members), members)
        policies |= {alias: deepcopy(policies[group]) for alias, group in aliases.items()}
        content = Settings(self._findings, self._router, self._litellm, self._general).content(policies)
        content["budgets"] = self._budgets(entries)
        content |= {
            "providers": self._deployments.providers,
            "models": {entry.id: entry.settings for entry in entries},
            "policies": policies,
        }
        for section in (self._defaults, self._router, self._litellm, self._general, self._top):
            section.finish()
        kept = {key: value for key, value in content.items() if value or key == "models"}
        return Translation(content=kept, findings=self._findings)

    # Reading

    def _section(self, name: str, why: Mapping[str, str], inner: str = "", within: Section | None = None) -> Section:
        if within is not None:
            return Section(self._findings, (name, inner), within.take(inner), why)
        return Section(self._findings, (name,), self._raw[name], why)

    def _credentials(self) -> dict[str, tuple[Location, Mapping[str, Any]]]:
        found: dict[str, tuple[Location, Mapping[str, Any]]] = {}
        listed = self._raw["credential_list"]
        for number, one in enumerate(listed if isinstance(listed, list) else ()):
            if isinstance(one, dict):
                at = ("credential_list", number, "credential_values")
                values = one.get("credential_values")
                found[str(one.get("credential_name"))] = (at, values if isinstance(values, dict) else {})
        return found

    def _environment(self) -> None:
        variables = self._raw["environment_variables"]
        for name in variables if isinstance(variables, dict) else ():
            self._findings.variable(str(name), ("environment_variables", name), Kind.TEXT)

    def _entries(self, defaults: Mapping[str, Any], aliases: frozenset[str]) -> list[Entry]:
        listed = self._raw["model_list"]
        if listed is not None and not isinstance(listed, list):
            self._findings.leave(("model_list",), "it is not a list")
        raw = listed if isinstance(listed, list) else []
        self._findings.reserve(_implicit(raw))
        names = {str(one.get("model_name")) for one in raw if isinstance(one, dict)} | aliases
        read = (
            self._deployments.read(one, ("model_list", number), defaults, frozenset(names))
            for number, one in enumerate(raw)
        )
        return [entry for entry in read if entry is not None]

    def _aliases(self) -> dict[str, str]:
        found: dict[str, str] = {}
        given = self._router.take("model_group_alias")
        for alias, group in (given if isinstance(given, dict) else {}).items():
            if isinstance(group, dict):
                extra = Section(self._findings, (*self._router.where("model_group_alias"), alias), group, {})
                group = extra.take("model")  # noqa: PLW2901 - the longer way of writing the same
                if extra.take("hidden"):
                    self._findings.leave(extra.where("hidden"), "every policy is listed to those who may use it")
                extra.finish()
            found[str(alias)] = str(group)
        return found

    def _knows(self, alias: str, group: str, groups: Mapping[str, Any]) -> bool:
        at = (*self._router.where("model_group_alias"), alias)
        if alias in groups:
            self._findings.leave(at, f"{alias} has deployments of its own")
        elif group not in groups:
            self._findings.leave(at, f"no deployment of {group} is mapped")
        return alias not in groups and group in groups

    def _default_parameters(self) -> dict[str, Any]:
        found = {name: self._defaults.take(name) for name in (*PARAMETERS, "max_tokens")}
        return {name: value for name, value in found.items() if value is not None}

    def _default_bounds(self) -> Any:
        general = self._general.take_number("max_parallel_requests")
        router = self._router.take_number("default_max_parallel_requests")
        return router if router is not None else general

    # Policies

    def _policies(
        self, groups: Mapping[str, list[Entry]], fallbacks: _Fallbacks, members: Mapping[str, Sequence[Entry]]
    ) -> dict[str, Any]:
        strategy = self._strategy()
        # The router's settings go before the library's, whichever is the longer.
        total = _first(self._router.take_number("timeout"), self._litellm.take_number("request_timeout"))
        total = _first(self._defaults.take_number("timeout"), total)
        stream = _first(self._defaults.take_number("stream_timeout"), self._router.take_number("stream_timeout"))
        retries = _first(self._router.take_number("num_retries"), self._litellm.take_number("num_retries"))
        retries = _first(retries, self._defaults.take_number("max_retries"))
        pause = self._router.take_number("retry_after")
        policies: dict[str, Any] = {}
        for name, entries in groups.items():
            use, then = _by_order(entries)
            then += [one for group in fallbacks.of(name) for part in _by_order(members[group]) for one in part]
            rule: dict[str, Any] = {"use": [one.id for one in use]}
            if then:
                rule["then"] = [one for one in dict.fromkeys(one.id for one in then) if one not in rule["use"]]
            if len(use) > 1:
                rule["strategy"] = strategy
            rule |= self._shared(entries)
            policy: dict[str, Any] = {"rules": [rule]}
            timeouts = {
                "total": self._agreed(entries, "timeout", total),
                "first_token": (waits := self._agreed(entries, "stream_timeout", stream)),
                "stall": waits,
            }
            if any(value is not None for value in timeouts.values()):
                policy["timeouts"] = {key: value for key, value in timeouts.items() if value is not None}
            own = [entry.retries for entry in entries if isinstance(entry.retries, int)]
            if settings := _retries(retries, own, len(use), len(use) + len(then), pause):
                policy["retries"] = settings
            if fallbacks.content.get(name, fallbacks.content.get("*")):
                policy["fallback_on_content_filter"] = True
            policies[name] = policy
        return policies

    def _fallbacks(self, members: Mapping[str, Sequence[Entry]]) -> _Fallbacks:
        most = self._router.take_number("max_fallbacks")
        default: list[str] = []
        for section in (self._router, self._litellm):
            given = section.take("default_fallbacks")
            default = default or self._known(given, section.where("default_fallbacks"), members)
        return _Fallbacks(
            ordinary=self._mapping_of("fallbacks", members),
            default=default,
            context=self._mapping_of("context_window_fallbacks", members),
            content=self._mapping_of("content_policy_fallbacks", members),
            most=most if isinstance(most, int) else _MOST_FALLBACKS,
        )

    def _mapping_of(self, key: str, members: Mapping[str, Sequence[Entry]]) -> dict[str, list[str]]:
        """The fallbacks of this kind, by group. Those of `router_settings` go before."""
        found: dict[str, list[str]] = {}
        for section in (self._router, self._litellm):
            given, at = section.take(key), section.where(key)
            if given is None:
                continue
            if key != "fallbacks":
                self._findings.note(at, "its models are asked last after any failure, not only of this kind")
            for number, one in enumerate(given if isinstance(given, list) else [given]):
                if not isinstance(one, dict):
                    self._findings.leave((*at, number), "it is not a mapping of a model to its fallbacks")
                    continue
                for group, names in one.items():
                    place = (*at, number, group)
                    if group != "*" and group not in members:
                        self._findings.leave(place, f"no deployment of {group} is mapped")
                    elif group not in found:
                        found[group] = self._known(names, place, members)
                    else:
                        self._findings.leave(place, f"{group} has fallbacks already, which go before these")
        return found

    def _known(self, names: Any, at: Location, members: Mapping[str, Sequence[Entry]]) -> list[str]:
        """Those of the names that lead to a deployment; the others are left out."""
        listed = names if isinstance(names, list) else [] if names is None else [names]
        for number, name in enumerate(listed):
            if not isinstance(name, str):
                self._findings.leave((*at, number), "a fallback with parameters or messages of its own")
            elif name not in members:
                self._findings.leave((*at, number), f"no deployment of {name} is mapped")
        return [name for name in listed if isinstance(name, str) and name in members]

    def _strategy(self) -> str:
        stated = self._router.take("routing_strategy")
        if stated is None:
            return "weighted"
        if stated not in _STRATEGIES:
            self._findings.leave(self._router.where("routing_strategy"), f"there is no {stated} here; weighted is used")
        elif stated.startswith("usage-based"):
            what = "deployments are drawn by weight, and passed over while their rpm or tpm is used up"
            self._findings.note(self._router.where("routing_strategy"), what)
        return _STRATEGIES.get(stated, "weighted")

    def _shared(self, entries: Sequence[Entry]) -> dict[str, Any]:
        """What the rule says for all deployments of a group: what the first one says."""
        found: dict[str, Any] = {}
        first = entries[0]
        if first.parameters:
            found["parameters"] = first.parameters
        for entry in entries[1:]:
            for name in sorted({*first.parameters, *entry.parameters}):
                if first.parameters.get(name) != entry.parameters.get(name):
                    self._differs((*entry.at, "litellm_params", name))
        limits = [entry.max_tokens for entry in entries]
        if limits[0] is not None:
            found["max_output_tokens"] = _within(
                limits[0], [entry.settings.get("max_output_tokens") for entry in entries]
            )
            what = "a ceiling here: callers may ask for fewer tokens, not for more"
            self._findings.note((*first.at, "litellm_params", "max_tokens"), what)
        for entry in entries[1:]:
            if entry.max_tokens != limits[0]:
                self._differs((*entry.at, "litellm_params", "max_tokens"))
        return found

    def _differs(self, at: Location) -> None:
        self._findings.leave(at, "it differs from the group's first deployment, which a rule has one setting with")

    def _agreed(self, entries: Sequence[Entry], name: str, otherwise: Any) -> Any:
        """The longest time that a deployment of the group states; said so where they differ."""
        stated = [getattr(entry, name) for entry in entries]
        values = [otherwise if value is None else value for value in stated]
        if len({str(value) for value in values}) > 1:
            for entry, value in zip(entries, stated, strict=True):
                if value is not None:
                    what = "a policy has one for the whole group: the longest of its deployments'"
                    self._findings.note((*entry.at, "litellm_params", name), what)
        numbers = [value for value in values if isinstance(value, int | float)]
        return max(numbers) if numbers else values[0]

    # The other sections

    def _budgets(self, entries: Iterable[Entry]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if (whole := budget(self._litellm)) is not None:
            found["litellm"] = whole
        for entry in entries:
            if entry.budget is not None:
                model = entry.settings.get("model", entry.id)
                found[entry.id] = {"match": {"model": model}, **entry.budget}
        return found


def _implicit(entries: Sequence[Any]) -> Iterator[str]:
    """Variables from which litellm takes keys that the file does not give."""
    for entry in entries:
        params = entry.get("litellm_params") if isinstance(entry, dict) else None
        if isinstance(params, dict) and params.get("api_key") is None:
            kind, _ = parted(str(params.get("model") or ""), str(params.get("custom_llm_provider") or ""))
            if kind in UPSTREAMS:
                yield UPSTREAMS[kind].key


def _by_order(entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """Those that share the group's calls, and those that are asked after them."""
    ranked = sorted((entry for entry in entries if not entry.is_last), key=lambda entry: entry.order)
    ranked += [entry for entry in entries if entry.is_last]
    use = [entry for entry in ranked if entry.order == ranked[0].order and entry.is_last == ranked[0].is_last]
    return use, [entry for entry in ranked if entry not in use]


def _weigh(groups: Iterable[Sequence[Entry]]) -> None:
    """Weigh deployments as litellm's simple-shuffle does: by weight, else by requests, else by tokens per minute."""
    for entries in groups:
        if any("weight" in entry.settings for entry in entries):
            continue
        for rate in ("rpm", "tpm"):
            if all(isinstance(entry.settings.get(rate), int) for entry in entries) and len(entries) > 1:
                for entry in entries:
                    entry.settings["weight"] = entry.settings[rate]
                break


def _retries(stated: Any, own: Sequence[int], sharing: int, candidates: int, pause: Any) -> dict[str, Any]:
    """litellm tries again with any deployment of the group; here each is tried so often before the next one."""
    found: dict[str, Any] = {}
    counts = [one for one in (stated, *own) if isinstance(one, int)]
    if counts:
        found["same_deployment"] = max(0, math.ceil((max(counts) + 1) / sharing) - 1)
        found["max_attempts"] = max(_LEAST_ATTEMPTS, (found["same_deployment"] + 1) * candidates)
    if isinstance(pause, int | float) and pause > 0:
        found["backoff_initial"] = pause
        found["backoff_max"] = max(8, pause)
    return found


def _within(limit: Any, known: Sequence[Any]) -> Any:
    """The limit, no higher than any deployment of the group allows."""
    allowed = [one for one in known if isinstance(one, int)]
    return min(limit, max(allowed)) if isinstance(limit, int) and len(allowed) == len(known) else limit


def _first(one: Any, other: Any) -> Any:
    return other if one is None else one
