"""Commands that call a running service: route, complete, receipt, models."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import grpc
import typer
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message as Proto

from llmrouter import Client, RouterError
from llmrouter.options import RouteOptions
from llmrouter.v1.chat_pb2 import FinishReason
from llmrouter.v1.decision_pb2 import Decision
from llmrouter.v1.router_service_pb2 import CompleteResponse, ListModelsResponse
from llmrouter.v1.stream_pb2 import AttemptDiscarded, AttemptStarted, Finished, ReasoningDelta, TextDelta, ToolCallDelta
from router_service.cli.options import CallerOptions, PromptArgument, prompt_text, with_caller_options
from router_service.cli.render import decision_view, models_view, receipt_view, terminal

Address = Annotated[str, typer.Option("--address", envvar="LLMROUTER_ADDRESS", help="host:port of the router.")]
CaFile = Annotated[Path | None, typer.Option("--ca-file", help="PEM bundle: speak TLS and trust these authorities.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Seconds = Annotated[float, typer.Option("--timeout", help="Deadline in seconds.")]

_DEFAULT_ADDRESS = "127.0.0.1:50051"


@with_caller_options
def route(
    prompt: PromptArgument,
    caller: CallerOptions,
    address: Address = _DEFAULT_ADDRESS,
    ca_file: CaFile = None,
    timeout: Seconds = 10.0,
    as_json: AsJson = False,
) -> None:
    """Ask a running router which model it would choose, and why. Nothing is called upstream."""
    with _client(address, ca_file) as client:
        response = client.route(prompt_text(prompt), **caller.for_client(timeout))
    if as_json:
        _print_json(response)
    else:
        terminal().print(decision_view(response.decision))


@with_caller_options
def complete(
    prompt: PromptArgument,
    caller: CallerOptions,
    address: Address = _DEFAULT_ADDRESS,
    ca_file: CaFile = None,
    timeout: Seconds = 60.0,
    stream: Annotated[bool, typer.Option(help="Show the answer while it is written.")] = True,
    as_json: AsJson = False,
) -> None:
    """Have a running router answer a prompt; then show the receipt."""
    options = caller.for_client(timeout)
    with _client(address, ca_file) as client:
        if stream and not as_json:
            _stream(client, prompt_text(prompt), options)
            return
        answer = client.complete(prompt_text(prompt), **options)
    if as_json:
        finish_reason = FinishReason.Value(f"FINISH_REASON_{answer.finish_reason.upper()}")
        _print_json(CompleteResponse(message=answer.message, finish_reason=finish_reason, receipt=answer.receipt))
        return
    terminal().print(answer.text, markup=False)
    terminal().print(receipt_view(answer.receipt))


def receipt(
    request_id: str, address: Address = _DEFAULT_ADDRESS, ca_file: CaFile = None, as_json: AsJson = False
) -> None:
    """Show the account of an earlier call."""
    with _client(address, ca_file) as client:
        found = client.receipt(request_id, timeout=10.0)
    if as_json:
        _print_json(found)
    else:
        terminal().print(receipt_view(found))


def models(address: Address = _DEFAULT_ADDRESS, ca_file: CaFile = None, as_json: AsJson = False) -> None:
    """List what a running router can call, with prices and health."""
    with _client(address, ca_file) as client:
        deployments = client.models(timeout=10.0)
    if as_json:
        _print_json(ListModelsResponse(deployments=deployments))
    else:
        terminal().print(models_view(deployments))


@contextmanager
def _client(address: str, ca_file: Path | None) -> Iterator[Client]:
    """A client whose errors end the command with a sentence instead of a traceback."""
    tls = grpc.ssl_channel_credentials(ca_file.read_bytes()) if ca_file else None
    try:
        with Client.connect(address, tls=tls) as client:
            yield client
    except RouterError as error:
        print(f"\n{error.code.name} {error.reason}: {error.message}", file=sys.stderr)
        if error.retry_after is not None:
            print(f"Try again in {error.retry_after:.1f} s.", file=sys.stderr)
        if not error.reason and error.code is grpc.StatusCode.UNAVAILABLE:
            print(f"Is a router serving on {address}? Start one with: llmrouter serve", file=sys.stderr)
        raise typer.Exit(1) from None


def _stream(client: Client, prompt: str, options: RouteOptions) -> None:
    out = terminal()
    with client.stream(prompt, **options) as events:
        for event in events:
            match event:
                case Decision():
                    out.print(f"[dim]{event.rule or 'chosen by the caller'}: {event.cause}[/]")
                case AttemptStarted():
                    out.print(f"[dim]→ {event.deployment} at {event.provider}[/]")
                case TextDelta():
                    out.print(event.text, end="", markup=False)
                case ReasoningDelta():
                    out.print(event.text, end="", markup=False, style="dim italic")
                case ToolCallDelta():
                    out.print((event.name and f"{event.name}(") or event.arguments_json, end="", markup=False)
                case AttemptDiscarded():
                    out.print(f"\n[dim]what attempt {event.attempt} said no longer counts[/]")
                case Finished():
                    out.print()
                    out.print(receipt_view(event.receipt))


def _print_json(message: Proto) -> None:
    print(MessageToJson(message, preserving_proto_field_name=True))
