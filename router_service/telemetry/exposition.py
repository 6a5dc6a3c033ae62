"""Metrics for Prometheus to fetch: of this process, and of several workers side by side."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from router_service.telemetry import semconv

WORKER_UP = "llm_router_worker_up"
_WORKER = semconv.WORKER.replace(".", "_")
_EOF = b"# EOF\n"


class Exposed:
    """Metrics as text. Its `reader` is a `MeterProvider`'s; the registry is its own, so that several may be."""

    def __init__(self) -> None:
        # What one scrape collected, another at the same time would take.
        self._lock = threading.Lock()
        self._registry = CollectorRegistry(auto_describe=False)
        self.reader = PrometheusMetricReader(
            registry=self._registry,
            # The scope is always this service, so that it would only lengthen every line.
            scope_info_enabled=False,
            resource_attribute_filter=lambda key: key == semconv.WORKER,
        )

    def text(self, accept: str) -> tuple[bytes, str]:
        """All metrics as they are now in the format that suits an Accept header, and its content type."""
        encode, content_type = choose_encoder(accept)
        with self._lock:
            return encode(self._registry), content_type


def side_by_side(told: Mapping[int, bytes | None]) -> bytes:
    """What several workers exposed, in one format, as one text; `None` is a worker that told nothing.

    Their series have labels that tell them apart, so that nothing is added up here: a worker that begins anew is to
    Prometheus what it is, counters that begin anew. A sum that falls by one worker's share would be taken for that too,
    and what the others counted for new.
    """
    heads: dict[bytes, list[bytes]] = {}
    samples: dict[bytes, list[bytes]] = {}
    present = {number: text for number, text in sorted(told.items()) if text is not None}
    for text in present.values():
        for name, head, lines in _families(text):
            heads.setdefault(name, head)
            # The format wants a metric's lines together.
            samples.setdefault(name, []).extend(lines)
    families = [line for name, head in heads.items() for line in (*head, *samples[name])]
    end = _EOF if any(text.endswith(_EOF) for text in present.values()) else b""
    return b"\n".join([*families, *_who_is_there(told), end])


def _families(text: bytes) -> Iterable[tuple[bytes, list[bytes], list[bytes]]]:
    """Each metric's name, the lines that describe it, and its samples."""
    for family in (b"\n" + text.removesuffix(_EOF)).split(b"\n# HELP ")[1:]:
        lines = (b"# HELP " + family.removesuffix(b"\n")).split(b"\n")
        described = sum(line.startswith(b"# ") for line in lines)
        yield family.partition(b" ")[0], lines[:described], lines[described:]


def _who_is_there(told: Mapping[int, bytes | None]) -> list[bytes]:
    return [
        f"# HELP {WORKER_UP} 1 where a worker told its metrics, 0 where it is not there or hangs".encode(),
        f"# TYPE {WORKER_UP} gauge".encode(),
        *(
            f'{WORKER_UP}{{{_WORKER}="{number}"}} {float(text is not None)}'.encode()
            for number, text in sorted(told.items())
        ),
    ]
