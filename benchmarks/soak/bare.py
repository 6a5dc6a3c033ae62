"""A server of bare gRPC that answers in its own time: what a storm leaves behind in it is gRPC's, not ours."""

from __future__ import annotations

import asyncio

import grpc
import uvloop

from llmrouter.v1 import router_service_pb2, router_service_pb2_grpc, stream_pb2

_BEFORE_FIRST = 0.05
_PIECES = 8
_BETWEEN = 0.01


class Bare(router_service_pb2_grpc.RouterServiceServicer):
    """Nobody is asked; the pauses are a provider's."""

    async def Complete(self, request, context):  # noqa: N802 - the service's method name
        await asyncio.sleep(_BEFORE_FIRST + _PIECES * _BETWEEN)
        return router_service_pb2.CompleteResponse()

    async def StreamComplete(self, request, context):  # noqa: N802 - the service's method name
        await asyncio.sleep(_BEFORE_FIRST)
        for sequence in range(1, _PIECES + 1):
            delta = stream_pb2.TextDelta(attempt=1, text="word ")
            await context.write(router_service_pb2.StreamCompleteResponse(sequence=sequence, text_delta=delta))
            await asyncio.sleep(_BETWEEN)
        finished = stream_pb2.Finished()
        await context.write(router_service_pb2.StreamCompleteResponse(sequence=_PIECES + 1, finished=finished))


async def serve() -> None:
    """Serve until killed; the first line printed is the address."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    router_service_pb2_grpc.add_RouterServiceServicer_to_server(Bare(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve())
