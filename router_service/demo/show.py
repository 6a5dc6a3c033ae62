"""The demo as it happens, for people."""

from __future__ import annotations

from rich.console import Console

from router_service.demo.prompts import DemoPrompt, titled
from router_service.demo.session import DemoCall, Progress


def show(console: Console) -> Progress:
    """Calls as they happen; streamed text as it arrives."""

    def began(number: int, prompt: DemoPrompt, turn: int) -> None:
        console.print(f"{number:3} {titled(prompt.title, turn)}", style="bold", markup=False, emoji=False)

    def wrote(text: str) -> None:
        console.print(text, end="", markup=False, emoji=False, style="dim")

    def ended(call: DemoCall) -> None:
        if call.streamed:
            console.print()
        if call.error:
            console.print(f"    {call.error}", style="red", markup=False, emoji=False)
        else:
            console.print(f"    → {call.receipt.deployment} at {call.receipt.provider}", markup=False)

    return Progress(began=began, wrote=wrote, ended=ended)
