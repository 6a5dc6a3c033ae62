"""Metrics for Prometheus to fetch."""

from __future__ import annotations

import threading

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder


class Exposed:
    """Metrics as text. Its `reader` is a `MeterProvider`'s; the registry is its own, so that several may be."""

    def __init__(self) -> None:
        # What one scrape collected, another at the same time would take.
        self._lock = threading.Lock()
        self._registry = CollectorRegistry(auto_describe=False)
        # The scope is always this service, so that it would only lengthen every line.
        self.reader = PrometheusMetricReader(registry=self._registry, scope_info_enabled=False)

    def text(self, accept: str) -> tuple[bytes, str]:
        """All metrics as they are now in the format that suits an Accept header, and its content type."""
        encode, content_type = choose_encoder(accept)
        with self._lock:
            return encode(self._registry), content_type
