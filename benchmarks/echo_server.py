"""A bare grpc.aio server over the router's own stubs: the yardstick. It answers with a fixed message.

`StreamComplete` writes 64 text deltas one by one, which is what a relay without merging has to do.
"""

from __future__ import annotations

import asyncio

import grpc
import uvloop

from llmrouter.v1 import chat_pb2, router_service_pb2, router_service_pb2_grpc, stream_pb2

ANSWER = "word " * 16
STREAM_MESSAGES = 64


class Echo(router_service_pb2_grpc.RouterServiceServicer):
    """Answers at once."""

    async def Complete(self, request, context):  # noqa: N802 - the service's method name
        message = chat_pb2.Message(role=chat_pb2.ROLE_ASSISTANT, parts=[chat_pb2.Part(text=ANSWER)])
        return router_service_pb2.CompleteResponse(message=message, finish_reason=chat_pb2.FINISH_REASON_STOP)

    async def StreamComplete(self, request, context):  # noqa: N802 - the service's method name
        for sequence in range(1, STREAM_MESSAGES + 1):
            delta = stream_pb2.TextDelta(attempt=1, text="word ")
            await context.write(router_service_pb2.StreamCompleteResponse(sequence=sequence, text_delta=delta))


async def serve() -> None:
    """Serve until killed; the first line printed is the address."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    router_service_pb2_grpc.add_RouterServiceServicer_to_server(Echo(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve())
