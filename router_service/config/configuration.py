"""The configuration as the router runs it: compiled, frozen, checked. `load` makes it; a reload replaces it whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from router_service.config.identity import EVERYBODY, IdentitySettings
from router_service.config.secret import Secret
from router_service.domain.classifier import LearnedWeights
from router_service.domain.deployment import Deployment
from router_service.domain.limit import DeploymentRate, LimitRules
from router_service.domain.policy import Feature, Policy, RetryAllowance
from router_service.domain.vendor import OnCancel, Quirks


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """Where a provider is and how it is called.

    `keys` is a pool used in turn; empty where none is needed or configured. `headers` and `query` are added to every
    request. `proxy` is a URL, `ca_file` a PEM bundle, `client_cert_file` and `client_key_file` PEM files.
    """

    id: str
    vendor: str
    base_url: str
    keys: tuple[Secret, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    proxy: str | None = None
    ca_file: str | None = None
    client_cert_file: str | None = None
    client_key_file: str | None = None
    quirks: Quirks = Quirks()
    max_connections: int = 1000
    on_cancel: OnCancel = OnCancel.CANCEL
    propagate_trace: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """PEM files of a server; they are read again when they change. `client_ca_file` asks clients for theirs."""

    cert_file: str
    key_file: str
    client_ca_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """The OpenAI-compatible edge. `keep_alive` is in seconds. `admin_address` `None` has `/metrics` at `address`."""

    address: str = "127.0.0.1:8080"
    admin_address: str | None = None
    metrics: bool = True
    tls: TlsSettings | None = None
    max_body_bytes: int = 8 * 1024 * 1024
    keep_alive: float = 75.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """The edges: gRPC, and HTTP where `http` is given. Durations are seconds, sizes bytes.

    `max_concurrent_calls_per_tenant` `None` is no limit.
    """

    address: str = "127.0.0.1:50051"
    workers: int = 1
    tls: TlsSettings | None = None
    http: HttpSettings | None = None
    reflection: bool | None = None
    lame_duck: float = 1.0
    grace: float = 30.0
    max_message_bytes: int = 4 * 1024 * 1024
    max_connection_age: float = 300.0
    max_concurrent_calls: int = 2000
    max_concurrent_calls_per_tenant: int | None = None
    default_deadline: float = 120.0
    receipts_kept: int = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySettings:
    """Where traces and metrics go. `otlp_endpoint` None exports nothing (`OTEL_EXPORTER_OTLP_ENDPOINT` is its default).

    `sample_ratio` is the share of uneventful traces that is kept; errors, fallbacks, escalations and calls slower than
    `slow_seconds` or dearer than `costly_nano_usd` are always kept. `mirror_cost_keys` repeats costs under other
    vendors' attribute names.
    """

    service_name: str = "llmrouter"
    otlp_endpoint: str | None = None
    otlp_insecure: bool = True
    otlp_headers: Mapping[str, str] = field(default_factory=dict)
    sample_ratio: float = 1.0
    slow_seconds: float = 30.0
    costly_nano_usd: int = 1_000_000_000
    metrics_interval: float = 30.0
    mirror_cost_keys: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionTokenSettings:
    """How decision tokens are signed. Without a key one is made at start: fine for one replica."""

    key: Secret | None = None
    ttl: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisSettings:
    """The Redis that replicas share counters in; `timeout` is in seconds, `replicas` how many routers share it."""

    url: Secret
    namespace: str = "llmrouter"
    timeout: float = 0.25
    max_connections: int = 32
    replicas: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSettings:
    """The SQL database; `url` is `None` where there is none, and may hold a password. Timeouts are seconds."""

    url: Secret | None = None
    directory: Path = Path()
    connect_timeout: float = 5.0
    command_timeout: float = 10.0
    max_connections: int = 10
    statement_cache_size: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSettings:
    """What is recorded of what was said: of the `share` (0 to 1) of the calls of these `features`, or of all without
    any. `retention` is in seconds, `max_characters` bounds prompt and answer each.
    """

    prompts: bool
    answers: bool
    share: float
    features: frozenset[str]
    retention: float
    max_characters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSettings:
    """Where calls are recorded; nowhere where `folder` is `None`. Sizes are bytes, times seconds.

    Rows older than `retention` are deleted, none where it is `None`. Prompts and answers are recorded only where there
    are `texts`.
    """

    folder: Path | None = None
    labels: frozenset[str] = frozenset()
    retention: float | None = None
    sync_interval: float = 1.0
    max_backlog: int = 1024 * 1024 * 1024
    min_free: int = 64 * 1024 * 1024
    orphaned_after: float = 24 * 3600.0
    texts: TextSettings | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Everything from the file (or the environment), checked and compiled.

    `fingerprint` is a hash of the routing-relevant content. `models` maps a model name to its deployments in the
    file's order. `weights` are of the learned classifiers that policies name. `watched_files` are all
    files whose change means a reload.
    """

    fingerprint: str
    source: str
    server: ServerSettings
    telemetry: TelemetrySettings
    decision_tokens: DecisionTokenSettings
    retry_allowance: RetryAllowance
    storage: StorageSettings = StorageSettings()
    identity: IdentitySettings = IdentitySettings(anonymous=EVERYBODY)
    providers: Mapping[str, ProviderSettings]
    deployments: Mapping[str, Deployment]
    models: Mapping[str, tuple[Deployment, ...]]
    features: Mapping[str, Feature]
    policies: Mapping[str, Policy]
    default_policy: str
    weights: Mapping[str, LearnedWeights] = field(default_factory=dict)
    limits: LimitRules = LimitRules()
    deployment_rates: Mapping[str, DeploymentRate] = field(default_factory=dict)
    redis: RedisSettings | None = None
    ledger: LedgerSettings = LedgerSettings()
    watched_files: tuple[str, ...] = ()
