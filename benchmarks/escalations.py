"""Tables 7 and 4 end to end: who answered what share of a mixed traffic, and what gates sent further up.

A real gRPC channel and a real router over the simulated provider, whose weaker models refuse, hedge and err on what is
hard for them. The mix of prompts was chosen to fit table 7's shares; what is shown is that the router carries them, not
that real traffic is like it. Run `python -m benchmarks.escalations`, or `make escalations`.
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

import router_service
from llmrouter import AsyncClient
from llmrouter.v1 import receipt_pb2
from router_service.app import Application
from router_service.simulator import SimulatedModel, Simulator

POLICIES = Path(router_service.__file__).parent / "policies"
SEED = 20261125
_AT_ONCE = 8

MODELS = [
    SimulatedModel(name="Qwen/Qwen3-8B", quality=0.34, vision=False),
    SimulatedModel(name="deepseek-v4-flash", quality=0.55, vision=False),
    SimulatedModel(name="deepseek-v4-pro", quality=0.9, vision=False),
    SimulatedModel(name="qwen-plus", quality=0.5, vision=False),
    SimulatedModel(name="gpt-4o", quality=0.92),
    SimulatedModel(name="gpt-4o-mini", quality=0.75),
    SimulatedModel(name="claude-opus-4-8", quality=0.96),
]

_TOPICS = (
    "database indexes", "parcel tracking", "password resets", "tides", "sourdough bread", "unit tests", "tax returns",
    "bicycle gears", "cloud invoices", "meeting notes", "email filters", "solar panels", "noise reduction",
    "rail passes",
)  # fmt: skip
_EASY = (
    "What are {topic}?",
    "Explain {topic} in two sentences.",
    "Draft a short reply to a customer who asks about {topic}.",
    "List three ideas for {topic}.",
    "Summarise what our help page says about {topic}.",
)
_HARDER = (
    "Analyse the costs of {topic} for a small company and explain what to do first.",
    "Derive a rule of thumb for {topic} and explain where it fails.",
    "What is a good strategy for {topic} over the next year?",
)
_HARD = (
    "Prove step by step which architecture fits {topic} best and analyse its trade-offs.",
    "Analyse the root cause of a deadlock in a distributed system for {topic}, and derive a strategy against it.",
)
_SHARES = ((_EASY, 0.72), (_HARDER, 0.22), (_HARD, 0.06))


def prompts(count: int) -> list[str]:
    """A product's traffic: mostly easy, some hard, the same every time."""
    rng = random.Random(SEED)
    kinds = rng.choices([kind for kind, _ in _SHARES], [share for _, share in _SHARES], k=count)
    return [f"{rng.choice(kind).format(topic=rng.choice(_TOPICS))} (case {n})" for n, kind in enumerate(kinds, 1)]


@dataclass(slots=True)
class Outcome:
    """What became of one table's calls: counts by deployment, gate and tier, and the money in nano-USD. `labelled` are
    the calls for which a model was asked, `unusable` those whose label was none."""

    calls: int = 0
    answered: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    gates: Counter[str] = field(default_factory=Counter)
    escalated: int = 0
    below: int = 0
    tiers: Counter[str] = field(default_factory=Counter)
    labelled: int = 0
    unusable: int = 0
    labels_cost: int = 0
    cost: int = 0
    baseline: int = 0

    def add(self, receipt: receipt_pb2.Receipt) -> None:
        """Count one call."""
        self.calls += 1
        self.answered[receipt.deployment] += 1
        self.tiers[receipt.signals.complexity] += 1
        by_number = {
            attempt.number: attempt.deployment
            for attempt in receipt.attempts
            if attempt.reason != receipt_pb2.ATTEMPT_REASON_CLASSIFIER
        }
        labels = [one for one in receipt.attempts if one.reason == receipt_pb2.ATTEMPT_REASON_CLASSIFIER]
        self.labelled += len(labels)
        self.labels_cost += sum(attempt.cost_nano_usd for attempt in labels)
        self.unusable += "no usable label" in receipt.signals.complexity_cause
        self.asked.update(by_number.values())
        for verdict in receipt.verdicts:
            if not verdict.passed:
                self.refused[by_number[verdict.attempt]] += 1
                self.gates.update({gate.name for gate in verdict.gates if not gate.passed})
        self.escalated += any(attempt.reason == receipt_pb2.ATTEMPT_REASON_ESCALATION for attempt in receipt.attempts)
        self.below += receipt.quality == receipt_pb2.QUALITY_BELOW_THRESHOLD
        self.cost += receipt.cost_nano_usd
        self.baseline += receipt.baseline_cost_nano_usd

    def lines(self) -> list[str]:
        """As people read it."""
        told = [f"  {'deployment':20} {'asked':>7} {'refused':>8} {'answered':>9}"]
        for name, asked in self.asked.most_common():
            told.append(
                f"  {name:20} {asked / self.calls:7.1%} {self.refused[name] / asked:8.1%}"
                f" {self.answered[name] / self.calls:9.1%}"
            )
        found = ", ".join(f"{gate} {count}" for gate, count in self.gates.most_common())
        told.append(
            f"  escalated {self.escalated / self.calls:.1%} of {self.calls} calls, below the threshold {self.below}"
        )
        told.append(f"  gates not content with refused answers: {found or 'none'}")
        shares = ", ".join(f"{tier} {count / self.calls:.1%}" for tier, count in self.tiers.most_common())
        told.append(f"  tiers: {shares}")
        if self.labelled:
            told.append(
                f"  labels of a model: {self.labelled}, unusable and so moderate {self.unusable}, "
                f"${self.labels_cost / 1e9:.4f} ({self.labels_cost / self.cost:.1%} of the cost)"
            )
        told.append(
            f"  cost ${self.cost / 1e9:.4f}, baseline ${self.baseline / 1e9:.4f}, "
            f"saved {1 - self.cost / self.baseline:.1%}"
        )
        return told


@asynccontextmanager
async def running(table: str) -> AsyncIterator[tuple[AsyncClient, Simulator]]:
    """A router of that policy file, all of its providers being played by the simulator."""
    async with Simulator(MODELS) as simulator:
        written = yaml.safe_load((POLICIES / f"{table}.yaml").read_text("utf-8"))
        written["providers"] = {
            name: {"base_url": simulator.url(name), "api_key": "simulated"} for name in written["providers"]
        }
        written["server"] = {"address": "127.0.0.1:0", "lame_duck": "0s"}
        with TemporaryDirectory() as folder:
            file = Path(folder) / "router.yaml"
            file.write_text(yaml.safe_dump(written, allow_unicode=True), "utf-8")
            application = Application(file, environ={})
            port = await application.start()
            try:
                async with AsyncClient.connect(f"127.0.0.1:{port}", timeout=30) as client:
                    yield client, simulator
            finally:
                await application.stop()


async def run(client: AsyncClient, asked: Sequence[str], policy: str) -> Outcome:
    """Every prompt once, under that policy."""
    outcome, free = Outcome(), asyncio.Semaphore(_AT_ONCE)

    async def ask(prompt: str) -> None:
        async with free:
            answer = await client.complete(prompt, policy=policy, max_output_tokens=400)
        outcome.add(answer.receipt)

    async with asyncio.TaskGroup() as group:
        for prompt in asked:
            group.create_task(ask(prompt))
    return outcome


TABLES = (
    ("table-7-tiers", "default", "Table 7, tiers with gates by length and structure"),
    ("table-7-tiers", "by-length", "Table 7, longer than 50 characters and no doubt"),
    ("table-4-complexity", "default", "Table 4, by complexity, nothing judged"),
    ("table-4-complexity", "asked", "Table 4, by complexity as gpt-4o-mini says"),
    ("table-4-complexity", "checked", "Table 4, by complexity, refused answers to gpt-4o"),
)


async def _main(count: int) -> None:
    asked = prompts(count)
    for table, policy, title in TABLES:
        async with running(table) as (client, _):
            outcome = await run(client, asked, policy)
        print("\n".join([title, *outcome.lines(), ""]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=400, help="calls per table")
    asyncio.run(_main(parser.parse_args().calls))
