"""An OTLP/gRPC receiver that takes everything and keeps nothing, so that export is measured for real."""

from __future__ import annotations

import asyncio

import grpc
import uvloop
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


class Traces(trace_service_pb2_grpc.TraceServiceServicer):
    """Takes spans."""

    async def Export(self, request, context):  # noqa: N802 - the service's method name
        return trace_service_pb2.ExportTraceServiceResponse()


class Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    """Takes metrics."""

    async def Export(self, request, context):  # noqa: N802 - the service's method name
        return metrics_service_pb2.ExportMetricsServiceResponse()


async def serve() -> None:
    """Serve until killed; the first line printed is the address."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Traces(), server)
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(Metrics(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve())
