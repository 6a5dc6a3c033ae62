"""The goals for routing quality, each as met or missed with its figure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_NOISY_BELOW = 1000


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure that has to be at least, or at most, so much."""

    number: int
    what: str
    wanted: float
    figure: float
    at_most: bool = False

    @property
    def met(self) -> bool:
        """Whether it is."""
        return self.figure <= self.wanted if self.at_most else self.figure >= self.wanted

    def __str__(self) -> str:
        sign = "<=" if self.at_most else ">="
        return (
            f"{self.number}  {'met   ' if self.met else 'MISSED'}  {self.what}: {self.figure:.3g}, "
            f"wanted {sign} {self.wanted:g}"
        )


def goals(results: Mapping[str, Any]) -> Iterator[Goal]:
    """Goals 1 to 4, from the results of the three sets."""
    mmlu, gsm8k = results["MMLU"], results["GSM8K"]
    half, few = mmlu["curves"]["ours, half/half"], mmlu["curves"]["ours, 1,500 labels"]
    yield Goal(1, "MMLU, half/half, APGR", 0.70, half["apgr"])
    yield Goal(1, "MMLU, half/half, CPT80", 54, half["cpt80"], at_most=True)
    yield Goal(1, "MMLU, 1,500 labels, APGR", 0.66, few["apgr"])
    yield Goal(1, "GSM8K, pre-router half/half, APGR", 0.68, gsm8k["curves"]["ours, half/half"]["apgr"])
    both = gsm8k["curves"]["gate + pre-router"]
    yield Goal(1, "GSM8K, gate + pre-router, APGR", 0.83, both["apgr"])
    yield Goal(1, "GSM8K, gate + pre-router, CPT80", 30, both["cpt80"], at_most=True)
    at_99 = next(line for line in gsm8k["savings"] if line["keep"] == 0.99)
    yield Goal(1, "GSM8K, saved at 99% with calibrated thresholds", 0.42, at_99["saved"])
    default = {name: one["curves"]["shipped default"]["apgr"] for name, one in results.items()}
    yield Goal(2, "shipped default, mean APGR of the three", 0.65, sum(default.values()) / len(default))
    for name, one in results.items():
        if one["prompts"] > _NOISY_BELOW:
            length = one["curves"]["prompt length"]["apgr"]
            yield Goal(2, f"shipped default, {name}, APGR against length alone", length, default[name])
    yield Goal(3, "98% target, share of splits that miss it", 0.05, mmlu["calibration"]["missed"], at_most=True)
    yield Goal(3, "98% target, strong calls", 0.74, mmlu["calibration"]["strong_share"], at_most=True)
    worst = max(one["microseconds"]["learned"]["p99"] for one in results.values())
    yield Goal(4, "classifier, p99 in microseconds", 150, worst, at_most=True)
    for name, one in results.items():
        yield Goal(4, f"same tier under edits, {name}", 0.98, one["robustness"]["learned"]["all"])
