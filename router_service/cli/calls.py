"""Commands that call a running service: route, complete, receipt, feedback, models, budget."""

from __future__ import annotations

import os
import re
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
from router_service.cli.ending import FAILED, MISUSED, end
from router_service.cli.options import CallerOptions, PromptArgument, prompt_text, with_caller_options
from router_service.cli.render import account, allowances_view, decision_view, models_view, receipt_view, terminal
from router_service.domain.feedback import FeedbackSource, Thumbs

Address = Annotated[str, typer.Option("--address", envvar="LLMROUTER_ADDRESS", help="host:port of the router.")]
CaFile = Annotated[Path | None, typer.Option("--ca-file", help="PEM bundle: speak TLS and trust these authorities.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Seconds = Annotated[float, typer.Option("--timeout", help="Deadline in seconds.")]

# gRPC's own words, for what either side refuses.
_TOO_LARGE = re.compile(r"message larger than max \((\d+) vs\. (\d+)\)")
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
    options, text = caller.for_client(timeout), prompt_text(prompt)
    with _client(address, ca_file) as client:
        response = client.route(text, **options)
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
    options, text = caller.for_client(timeout), prompt_text(prompt)
    with _client(address, ca_file) as client:
        if stream and not as_json:
            _stream(client, text, options)
            return
        answer = client.complete(text, **options)
    if as_json:
        finish_reason = FinishReason.Value(f"FINISH_REASON_{answer.finish_reason.upper()}")
        _print_json(CompleteResponse(message=answer.message, finish_reason=finish_reason, receipt=answer.receipt))
        return
    print(answer.text)
    account().print(receipt_view(answer.receipt))


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


def feedback(
    request_id: Annotated[str, typer.Argument(help="Of the call that is judged.")],
    thumbs: Annotated[Thumbs | None, typer.Option(help="Good or not.")] = None,
    score: Annotated[float | None, typer.Option(min=0.0, max=1.0, help="From 0, useless, to 1, perfect.")] = None,
    label: Annotated[str, typer.Option(help="A word of your own, such as wrong_language.")] = "",
    comment: Annotated[str, typer.Option(help="In words; kept in the ledger's database alone.")] = "",
    source: Annotated[FeedbackSource, typer.Option(help="Who judged.")] = FeedbackSource.USER,
    author: Annotated[
        str, typer.Option(help="Opaque id of who judged; a later feedback of the same source and author replaces it.")
    ] = "",
    address: Address = _DEFAULT_ADDRESS,
    ca_file: CaFile = None,
) -> None:
    """Say what somebody made of the answer of an earlier call."""
    if thumbs is None and score is None and not (label or comment):
        end("Give --thumbs, --score, --label or --comment.", MISUSED)
    with _client(address, ca_file) as client:
        judged = client.record_feedback(
            request_id,
            thumbs=thumbs,
            score=score,
            label=label,
            comment=comment,
            source=source,
            author=author,
            timeout=10.0,
        )
    print(f"kept: feedback on {judged.model or 'a call without an answer'}")


def models(address: Address = _DEFAULT_ADDRESS, ca_file: CaFile = None, as_json: AsJson = False) -> None:
    """List what a running router can call, with prices and health."""
    with _client(address, ca_file) as client:
        deployments = client.models(timeout=10.0)
    if as_json:
        _print_json(ListModelsResponse(deployments=deployments))
    else:
        terminal().print(models_view(deployments))


def budget(
    feature: Annotated[str, typer.Option(help="Of calls of this feature.")] = "",
    tier: Annotated[str, typer.Option(help="Of calls of this tier.")] = "",
    model: Annotated[str, typer.Option(help="Also limits and budgets of this model.")] = "",
    address: Address = _DEFAULT_ADDRESS,
    ca_file: CaFile = None,
    as_json: AsJson = False,
) -> None:
    """Show how the caller stands with limits and budgets; administrators also the caps of shadow calls."""
    with _client(address, ca_file) as client:
        standing = client.standing(feature=feature, tier=tier, model=model, timeout=10.0)
    if as_json:
        _print_json(standing)
    elif standing.allowances or standing.shadow_caps:
        terminal().print(allowances_view(standing.allowances, standing.shadow_caps))
    else:
        print("No limit and no budget applies to such calls.")


@contextmanager
def _client(address: str, ca_file: Path | None) -> Iterator[Client]:
    """A client whose errors end the command with a sentence instead of a traceback."""
    tls = trusting(ca_file) if ca_file else None
    try:
        # From the environment only: arguments are seen by everybody on the machine.
        with Client.connect(address, tls=tls, api_key=os.environ.get("LLMROUTER_API_KEY") or None) as client:
            yield client
    except RouterError as error:
        end("\n".join(explained(error, address, tls=tls is not None)), FAILED)
    except ValueError as error:
        end(f"{error}.", MISUSED)


def trusting(ca_file: Path) -> grpc.ChannelCredentials:
    """TLS that trusts the file's authorities, or the end of the command."""
    try:
        authorities = ca_file.read_bytes()
    except OSError as error:
        end(f"Cannot read --ca-file {ca_file}: {error.strerror}.", MISUSED)
    if b"-----BEGIN CERTIFICATE-----" not in authorities:
        end(f"--ca-file {ca_file} holds no PEM certificate.", MISUSED)
    return grpc.ssl_channel_credentials(authorities)


def explained(error: RouterError, address: str, *, tls: bool) -> Iterator[str]:
    """What happened, then what to do about it, each a line."""
    sizes = _TOO_LARGE.search(error.message)
    if sizes:
        yield f"The prompt is too large: the request has {sizes[1]} bytes, and at most {sizes[2]} can be sent."
        return
    # UNAUTHENTICATED is both a status and a reason.
    names = dict.fromkeys(filter(None, (error.code.name, error.reason)))
    yield f"{' '.join(names)}: {error.message}"
    if error.retry_after is not None:
        yield f"Try again in {error.retry_after:.1f} s."
    if error.reason or error.code is not grpc.StatusCode.UNAVAILABLE:
        return
    if tls and "WRONG_VERSION_NUMBER" in error.message:
        yield f"{address} seems to speak no TLS: leave out --ca-file."
    elif tls and "CERTIFICATE_VERIFY_FAILED" in error.message:
        yield f"No authority in --ca-file vouches for {address}."
    elif tls or "Socket closed" not in error.message:
        yield f"Is a router serving on {address}? Start one with: llmrouter serve"
    else:
        yield f"Is a router serving on {address}? If it speaks TLS, name the authority to trust with --ca-file."


def _stream(client: Client, prompt: str, options: RouteOptions) -> None:
    notes = account()
    written = ""
    try:
        with client.stream(prompt, **options) as events:
            for event in events:
                match event:
                    case Decision():
                        notes.print(f"{event.rule or 'chosen by the caller'}: {event.cause}", style="dim", markup=False)
                    case AttemptStarted():
                        notes.print(f"→ {event.deployment} at {event.provider}", style="dim", markup=False)
                    case TextDelta():
                        written = _write(event.text)
                    case ReasoningDelta():
                        notes.print(event.text, end="", markup=False, emoji=False, style="dim italic")
                    case ToolCallDelta():
                        written = _write((event.name and f"{event.name}(") or event.arguments_json)
                    case AttemptDiscarded():
                        notes.print(f"\n[dim]what attempt {event.attempt} said no longer counts[/]")
                    case Finished():
                        written = _write("\n")
                        notes.print(receipt_view(event.receipt))
    finally:
        if written and not written.endswith("\n"):
            _write("\n")


def _write(text: str) -> str:
    """Answers go out as they are: a console would read markup and emoji codes into them."""
    sys.stdout.write(text)
    sys.stdout.flush()
    return text


def _print_json(message: Proto) -> None:
    print(MessageToJson(message, preserving_proto_field_name=True))
