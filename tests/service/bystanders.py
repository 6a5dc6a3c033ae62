"""Callers who do nothing wrong, and what the process costs while others do."""

from __future__ import annotations

from pathlib import Path

from scripted_engine import Served, complete_request

# Generous: what an attack may cost at the worst, beside what the process does anyway.
MOST_MIB = 150


async def others_are_served(served: Served, times: int = 10) -> None:
    """Fails unless calls on an ordinary channel are answered, one after another.

    A channel whose own connection was too slow for a test's short timeouts may make another.
    """
    for _ in range(times):
        await served.stub.Complete(complete_request(), timeout=30, wait_for_ready=True)


def resident_mib() -> float:
    """Memory of this process."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))
