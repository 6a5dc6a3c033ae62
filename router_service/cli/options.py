"""Options that several commands share: who asks, what for, and what they wish."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_type_hints

import typer

from router_service.cli.ending import MISUSED, end
from router_service.domain.call import Call, Caller, Wishes
from router_service.domain.chat import Chat, Message, Parameters, Role, TextPart

if TYPE_CHECKING:
    from llmrouter.options import RouteOptions

PromptArgument = Annotated[str, typer.Argument(help="The prompt; - reads it from standard input.")]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="LLMROUTER_CONFIG",
        help="The YAML file; without it, the provider keys in the environment.",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerOptions:
    """Becomes options of every command that `with_caller_options` decorates. Ends it where they contradict."""

    feature: Annotated[str, typer.Option(help="Product feature, such as chat_reply.")] = ""
    tier: Annotated[str, typer.Option(help="The user's tier, such as free.")] = ""
    task_type: Annotated[str, typer.Option("--task", help="Task type, such as classification.")] = ""
    user: Annotated[str, typer.Option(help="Opaque id of the end user.")] = ""
    conversation_id: Annotated[str, typer.Option("--conversation", help="Ties turns together.")] = ""
    language: Annotated[str, typer.Option(help="BCP 47 tag; detected where absent.")] = ""
    complexity: Annotated[str, typer.Option(help="simple, moderate, complex or a policy's own word.")] = ""
    label: Annotated[list[str], typer.Option(help="key=value; may be repeated.")] = field(default_factory=list)
    policy: Annotated[str, typer.Option(help="Policy by name.")] = ""
    model: Annotated[str, typer.Option(help="Override: any deployment of this model.")] = ""
    deployment: Annotated[str, typer.Option(help="Override: exactly this deployment.")] = ""
    max_output_tokens: Annotated[int, typer.Option(min=0, help="Token limit; 0 sets none.")] = 0

    def __post_init__(self) -> None:
        if self.model and self.deployment:
            end("Give --model or --deployment, not both.", MISUSED)

    def for_client(self, timeout: float) -> RouteOptions:
        """As the client's keyword arguments, without what is unset; `timeout` is in seconds."""
        options: dict[str, Any] = {"timeout": timeout} | {
            option.name: value
            for option in fields(self)
            if option.name != "label" and (value := getattr(self, option.name))
        }
        if self.label:
            options["labels"] = self.labels()
        return cast("RouteOptions", options)

    def labels(self) -> dict[str, str]:
        """Labels as a mapping; ends the command on one without a value."""
        for text in self.label:
            if "=" not in text:
                end(f"--label takes key=value, not {text!r}.", MISUSED)
        return dict(text.split("=", 1) for text in self.label)

    def as_call(self, prompt: str) -> Call:
        """The call a router would see."""
        return Call(
            request_id="explain",
            tenant="default",
            caller=Caller(
                feature=self.feature,
                tier=self.tier,
                task_type=self.task_type,
                user=self.user,
                conversation_id=self.conversation_id,
                language=self.language,
                complexity=self.complexity,
                labels=self.labels(),
            ),
            chat=Chat(
                messages=(Message(role=Role.USER, parts=(TextPart(prompt),)),),
                parameters=Parameters(max_output_tokens=self.max_output_tokens or None),
            ),
            wishes=Wishes(policy=self.policy, model=self.model, deployment=self.deployment),
        )


def with_options(name: str, kind: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for each field of a dataclass, in place of its parameter `name` of that kind."""
    hints = get_type_hints(kind, include_extras=True)

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)

        @functools.wraps(command)
        def run(**given: Any) -> None:
            own = {option.name: given.pop(option.name) for option in fields(kind)}
            command(**{name: kind(**own)}, **given)

        own = [parameter for parameter in signature.parameters.values() if parameter.name != name]
        shared = [
            inspect.Parameter(
                option.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=_default(option),
                annotation=hints[option.name],
            )
            for option in fields(kind)
        ]
        parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own] + shared
        del run.__wrapped__  # or typer would look at the signature beneath
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate


def _default(option: Field[Any]) -> Any:
    return option.default if option.default_factory is MISSING else option.default_factory()


with_caller_options = with_options("caller", CallerOptions)


def prompt_text(argument: str) -> str:
    """The prompt itself: from standard input where the argument is "-". Ends the command where there is none."""
    try:
        # What a terminal or a file holds beyond UTF-8 arrives in an argument as surrogates, which do not encode.
        text = (sys.stdin.buffer.read() if argument == "-" else argument.encode()).decode()
    except UnicodeError:
        end("The prompt is not UTF-8 text.", MISUSED)
    if not text.strip():
        end("The prompt is empty.", MISUSED)
    return text
