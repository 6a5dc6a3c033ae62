"""From checked shapes to the domain objects the router runs on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from router_service.config.classifier_compilation import classification, digests, files_of, weights_of
from router_service.config.configuration import (
    Configuration,
    DecisionTokenSettings,
    HttpSettings,
    ProviderSettings,
    RedisSettings,
    ServerSettings,
    StorageSettings,
    TelemetrySettings,
    TlsSettings,
)
from router_service.config.document import Document
from router_service.config.endpoint import completed
from router_service.config.escalation_compilation import escalation
from router_service.config.experiment_compilation import caps_of, experiments, shadows
from router_service.config.identity_compilation import identity_settings
from router_service.config.ledger_compilation import ledger_settings
from router_service.config.limits_compilation import deployment_rates, limit_rules
from router_service.config.places import LEDGER_VARIABLE
from router_service.config.policy_shape import HedgeShape, PolicyShape, RuleShape
from router_service.config.references import vendor_of
from router_service.config.rule_compilation import parameters, rule
from router_service.config.secret import EnvironmentSecret, FileSecret, LiteralSecret, Secret
from router_service.config.server_shape import TlsShape
from router_service.config.shape import (
    FeatureShape,
    ModelShape,
    PriceShape,
    ProviderShape,
    QuirksShape,
)
from router_service.config.source import Location, Source
from router_service.config.vendors import VENDORS, Vendor
from router_service.domain.deployment import Deployment, ModelFacts, Price, Rate, Retention
from router_service.domain.policy import (
    Feature,
    Hedge,
    Policy,
    Retries,
    RetryAllowance,
    Timeouts,
)
from router_service.domain.vendor import Auth, Prefill, Quirks

Catalogue = Callable[[str, str], ModelFacts | None]
"""Facts of a model by its vendor (the preset's id) and the name it has there; `None` where nothing is known of it."""


class Compiler:
    """Compiles one document without problems. `file` is where it comes from, `None` for the environment; relative
    files are looked for in its directory."""

    def __init__(
        self,
        source: Source,
        document: Document,
        *,
        catalogue: Catalogue,
        environ: Mapping[str, str],
        file: Path | None,
    ) -> None:
        self._source = source
        self._document = document
        self._catalogue = catalogue
        self._environ = environ
        self._own_file = file
        self._directory = file.parent if file else Path()

    def configuration(self) -> Configuration:
        """Everything together."""
        document = self._document
        providers = {name: self._provider(name, piece.usable) for name, piece in document.providers.items()}
        deployments = {
            name: self._deployment(name, piece.usable, providers[piece.usable.provider])
            for name, piece in document.models.items()
        }
        models: dict[str, tuple[Deployment, ...]] = {}
        for deployment in deployments.values():
            models[deployment.model] = (*models.get(deployment.model, ()), deployment)
        features = {name: _feature(name, piece.usable) for name, piece in document.features.items()}
        named = {**{name: (one,) for name, one in deployments.items()}, **models}
        policies = {
            name: _policy(name, piece.policy.usable, [rule.usable for rule in piece.rules], named)
            for name, piece in document.policies.items()
        }
        weights = weights_of(policies.values(), self._directory)
        default_policy = document.default_policy or ("default" if "default" in policies else next(iter(policies)))
        return Configuration(
            fingerprint=fingerprint(deployments, features, policies, default_policy, *digests(weights)),
            source=self._source.file,
            server=self._server(),
            telemetry=self._telemetry(),
            decision_tokens=self._decision_tokens(),
            retry_allowance=RetryAllowance(**document.retry_budget.usable.model_dump()),
            storage=self._storage(),
            identity=identity_settings(document.identity.usable, self._secret, self._directory),
            ledger=ledger_settings(self._document.ledger.usable, self._directory, self._environ.get(LEDGER_VARIABLE)),
            providers=providers,
            deployments=deployments,
            models=models,
            features=features,
            policies=policies,
            default_policy=default_policy,
            weights=weights,
            limits=replace(limit_rules(document), shadows=caps_of(policies.values())),
            deployment_rates=deployment_rates(document),
            redis=self._redis(),
            watched_files=(*self._watched(providers), *files_of(weights, self._directory)),
        )

    def _provider(self, name: str, shape: ProviderShape) -> ProviderSettings:
        vendor = vendor_of(name, shape) or VENDORS["custom"]
        base_url = vendor.base_url.replace("{resource}", shape.resource or "")
        if shape.base_url is not None:
            # Whoever gives the path of chat completions means it to follow the URL as it is.
            base_url = shape.base_url if shape.quirks.path is not None else completed(vendor, shape.base_url)
        return ProviderSettings(
            id=name,
            vendor=vendor.id,
            base_url=base_url,
            keys=self._keys(("providers", name), shape, vendor),
            headers=shape.headers,
            query={**vendor.query, **shape.query},
            proxy=shape.proxy,
            ca_file=self._file(shape.ca_file),
            client_cert_file=self._file(shape.client_cert_file),
            client_key_file=self._file(shape.client_key_file),
            quirks=_quirks(vendor.quirks, shape.quirks),
            max_connections=shape.max_connections,
            on_cancel=shape.on_cancel,
            propagate_trace=shape.propagate_trace,
        )

    def _keys(self, at: Location, shape: ProviderShape, vendor: Vendor) -> tuple[Secret, ...]:
        stated = {"api_key", "api_keys", "api_key_file"} & shape.model_fields_set
        if not stated:
            return self._preset_key(shape, vendor)
        texts = [((*at, "api_key"), shape.api_key)]
        texts += [((*at, "api_keys", number), key) for number, key in enumerate(shape.api_keys)]
        keys: list[Secret] = [self._secret(location, key) for location, key in texts if key]
        keys += [FileSecret(self._directory / file) for file in shape.api_key_file]
        return tuple(keys)

    def _preset_key(self, shape: ProviderShape, vendor: Vendor) -> tuple[Secret, ...]:
        # A key goes to nobody but the vendor it belongs to: another base URL has to name its key itself.
        if shape.base_url is not None and not _same_host(shape.base_url, vendor.base_url):
            return ()
        for variable in vendor.key_variables:
            if self._environ.get(variable):
                return (EnvironmentSecret(variable, self._environ),)
        return ()

    def _secret(self, location: Location, text: str) -> Secret:
        variable = self._source.environment.get(self._source.known(location))
        return EnvironmentSecret(variable, self._environ) if variable else LiteralSecret(text.strip())

    def _file(self, name: str | None) -> str | None:
        return None if name is None else str(self._directory / name)

    def _deployment(self, name: str, shape: ModelShape, provider: ProviderSettings) -> Deployment:
        vendor = VENDORS[provider.vendor]
        settings = self._document.providers[provider.id].usable
        model = shape.model or name
        upstream_name = shape.upstream_name or model
        facts = self._facts(vendor, upstream_name, model)
        url = urlsplit(provider.base_url)
        region = shape.region or settings.region
        if region is None:
            region = vendor.region if settings.base_url is None else ""
        given = shape.capabilities
        return Deployment(
            id=name,
            model=model,
            provider=provider.id,
            upstream_name=upstream_name,
            vendor=vendor.id,
            server_address=url.hostname or "",
            server_port=url.port or (80 if url.scheme == "http" else 443),
            capabilities=vendor.capabilities_of(upstream_name) if given is None else frozenset(given),
            context_window=shape.context_window or facts.context_window,
            max_output_tokens=shape.max_output_tokens or facts.max_output_tokens,
            price=_price(shape.price) if shape.price else facts.price,
            region=region.lower(),
            retention=shape.retention or settings.retention or Retention.UNLIMITED,
            weight=shape.weight,
            has_credentials=bool(provider.keys) or not vendor.key_required or provider.quirks.auth is Auth.NONE,
            prefills=vendor.prefills(upstream_name)
            if settings.quirks.prefill is None
            else settings.quirks.prefill is not Prefill.NONE,
        )

    def _facts(self, vendor: Vendor, upstream_name: str, model: str) -> ModelFacts:
        return self._catalogue(vendor.id, upstream_name) or self._catalogue(vendor.id, model) or ModelFacts()

    def _server(self) -> ServerSettings:
        shape = self._document.server.usable
        tls = self._tls(shape.tls)
        http = None
        if shape.http:
            http = HttpSettings(tls=self._tls(shape.http.tls) or tls, **shape.http.model_dump(exclude={"tls"}))
        return ServerSettings(tls=tls, http=http, **shape.model_dump(exclude={"tls", "http"}))

    def _tls(self, shape: TlsShape | None) -> TlsSettings | None:
        if shape is None:
            return None
        return TlsSettings(
            cert_file=str(self._directory / shape.cert_file),
            key_file=str(self._directory / shape.key_file),
            client_ca_file=self._file(shape.client_ca_file),
        )

    def _telemetry(self) -> TelemetrySettings:
        shape = self._document.telemetry.usable
        endpoint = shape.otlp_endpoint or self._environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or None
        insecure = shape.otlp_insecure
        return TelemetrySettings(
            service_name=shape.service_name or self._environ.get("OTEL_SERVICE_NAME") or "llmrouter",
            otlp_endpoint=endpoint,
            otlp_insecure=not (endpoint or "").startswith("https:") if insecure is None else insecure,
            otlp_headers=shape.otlp_headers,
            sample_ratio=shape.sample_ratio,
            slow_seconds=shape.slow,
            costly_nano_usd=shape.costly_usd,
            metrics_interval=shape.metrics_interval,
            mirror_cost_keys=shape.mirror_cost_keys,
        )

    def _redis(self) -> RedisSettings | None:
        if self._document.redis is None:
            return None
        shape = self._document.redis.usable
        if shape.url is None:
            url: Secret = EnvironmentSecret("REDIS_URL", self._environ)
        else:
            url = self._secret(("redis", "url"), shape.url)
        # Each worker counts by itself while Redis is away.
        replicas = shape.replicas * self._document.server.usable.workers
        return RedisSettings(url=url, replicas=replicas, **shape.model_dump(exclude={"url", "replicas"}))

    def _decision_tokens(self) -> DecisionTokenSettings:
        shape = self._document.decision_tokens.usable
        key: Secret | None = None
        if shape.key:
            key = self._secret(("decision_tokens", "key"), shape.key)
        elif shape.key_file:
            key = FileSecret(self._directory / shape.key_file)
        return DecisionTokenSettings(key=key, ttl=shape.ttl)

    def _storage(self) -> StorageSettings:
        shape = self._document.storage.usable
        return StorageSettings(
            url=self._secret(("storage", "url"), shape.url) if shape.url else None,
            directory=self._directory,
            connect_timeout=shape.connect_timeout,
            command_timeout=shape.command_timeout,
            max_connections=shape.max_connections,
            statement_cache_size=shape.statement_cache_size,
        )

    def _watched(self, providers: Mapping[str, ProviderSettings]) -> tuple[str, ...]:
        # Secrets and the server's TLS files are read again by those who use them; the files below are read only when
        # a provider's connections are set up.
        found = [str(self._own_file)] if self._own_file else []
        for provider in providers.values():
            for file in (provider.ca_file, provider.client_cert_file, provider.client_key_file):
                if file is not None and file not in found:
                    found.append(file)
        return tuple(found)


def _same_host(url: str, own: str) -> bool:
    host, known = urlsplit(url).hostname or "", urlsplit(own).hostname or ""
    if "{resource}" in known:
        known = known.replace("{resource}.", "")
    return bool(known) and (host == known or host.endswith(f".{known}"))


def _quirks(preset: Quirks, shape: QuirksShape) -> Quirks:
    given: dict[str, Any] = {
        name: value for name in shape.model_fields_set if (value := getattr(shape, name)) is not None
    }
    if "unsupported" in given:
        given["unsupported"] = frozenset(given["unsupported"])
    return replace(preset, **given)


def _price(shape: PriceShape) -> Price:
    def rate(kind: str, default: Rate | None = None) -> Rate:
        base = getattr(shape, kind)
        if base is None and default is not None:
            base = default.base
            own = [(tier.above_input_tokens, getattr(tier, kind)) for tier in shape.tiers]
            stated = {start: rate for start, rate in own if rate is not None}
            return Rate(base, tuple((start, stated.get(start, rate)) for start, rate in default.tiers))
        tiers = [(tier.above_input_tokens, getattr(tier, kind)) for tier in shape.tiers]
        return Rate(base, tuple((start, base if rate is None else rate) for start, rate in tiers))

    ordinary = rate("input")
    return Price(
        input=ordinary,
        output=rate("output"),
        cached_input=rate("cached_input", ordinary),
        cache_write=rate("cache_write", ordinary),
        version="configuration",
    )


def _feature(name: str, shape: FeatureShape) -> Feature:
    return Feature(name=name, max_output_tokens=shape.max_output_tokens, parameters=parameters(shape.parameters))


def _hedge(shape: HedgeShape | None) -> Hedge | None:
    if shape is None:
        return None
    return Hedge(after=shape.after, max_cost_share=shape.max_cost_share, max_cost_nano_usd=shape.max_cost_usd)


def _policy(
    name: str, shape: PolicyShape, rules: list[RuleShape], named: Mapping[str, tuple[Deployment, ...]]
) -> Policy:
    return Policy(
        name=name,
        rules=tuple(rule(one, number, named) for number, one in enumerate(rules, 1)),
        baseline=named[shape.baseline][0] if shape.baseline else None,
        sticky=shape.sticky,
        regions=frozenset(region.lower() for region in shape.regions),
        retention=shape.retention,
        max_cost_nano_usd=shape.max_cost_usd,
        fallback_on_content_filter=shape.fallback_on_content_filter,
        timeouts=Timeouts(**shape.timeouts.model_dump()),
        retries=Retries(**shape.retries.model_dump()),
        complexities=frozenset(one.lower() for one in shape.complexities),
        stream_upstream=shape.stream_upstream,
        recovery=shape.recovery,
        hedge=_hedge(shape.hedge),
        keep_answers=shape.keep_answers,
        escalation=escalation(shape.escalate, named),
        classification=classification(shape.classifier, named),
        experiments=experiments(shape.experiments, named),
        shadows=shadows(name, shape.shadow, named),
    )


def fingerprint(*parts: Any) -> str:
    """A short hash of compiled values, the same in every process; secrets are never among them."""
    text = json.dumps([_canonical(part) for part in parts], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _canonical(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        # Whether a key is there is a matter of this process, not of what was decided.
        return {
            one.name: _canonical(getattr(value, one.name)) for one in fields(value) if one.name != "has_credentials"
        }
    if isinstance(value, Mapping):
        return {str(key): _canonical(one) for key, one in value.items()}
    if isinstance(value, frozenset):
        return sorted(str(one) for one in value)
    if isinstance(value, tuple | list):
        return [_canonical(one) for one in value]
    return value.value if isinstance(value, Enum) else value
