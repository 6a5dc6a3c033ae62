"""A changed file replaces the configuration; a bad one changes nothing."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from router_service.config.configuration import Configuration
from router_service.config.load import load
from router_service.config.problem import ConfigurationError
from router_service.config.watch import ConfigurationHolder

SMALL = """\
providers: {openai: {}}
models: {gpt-4o: {provider: openai, weight: WEIGHT}}
policies: {default: {rules: [{use: gpt-4o}]}}
"""


def text(weight: str) -> str:
    return SMALL.replace("WEIGHT", weight)


def replace_file(file: Path, content: str) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_text(content)
    fresh.replace(file)


class Watched:
    """A holder of a real file that remembers what it was told."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.used: list[float] = []
        self.errors: list[ConfigurationError] = []
        self.holder = ConfigurationHolder(
            lambda: load(file, lambda *_: None, {}), on_change=self._use, on_error=self.errors.append
        )

    def _use(self, configuration: Configuration) -> None:
        self.used.append(configuration.deployments["gpt-4o"].weight)

    @property
    def weight(self) -> float:
        return self.holder.current.deployments["gpt-4o"].weight


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    file = tmp_path / "router.yaml"
    file.write_text(text("1"))
    return Watched(file)


async def test_a_reload_puts_the_new_configuration_to_use(watched: Watched) -> None:
    replace_file(watched.file, text("2"))
    assert watched.holder.changed
    assert await watched.holder.reload() is None
    assert (watched.weight, watched.used, watched.holder.changed) == (2.0, [2.0], False)


async def test_a_bad_file_keeps_the_old_configuration_serving_and_says_so(watched: Watched) -> None:
    before = watched.holder.current
    replace_file(watched.file, text("none"))
    error = await watched.holder.reload()
    assert error is not None
    assert error.problems[0].path == "models.gpt-4o.weight"
    assert (watched.holder.current is before, watched.errors, watched.used) == (True, [error], [])
    assert not watched.holder.changed, "a bad file is reported once, not every second"


async def test_what_cannot_be_put_to_use_keeps_the_old_configuration(tmp_path: Path) -> None:
    file = tmp_path / "router.yaml"
    file.write_text(text("1"))

    def refuse(configuration: Configuration) -> None:
        raise RuntimeError("sk-canary")

    holder = ConfigurationHolder(lambda: load(file, lambda *_: None, {}), on_change=refuse)
    before = holder.current
    error = await holder.reload()
    assert holder.current is before
    assert "sk-canary" not in str(error)
    assert "RuntimeError" in str(error)


async def test_a_swapped_directory_link_counts_as_a_change(tmp_path: Path) -> None:
    for name, weight in (("one", "1"), ("two", "2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "router.yaml").write_text(text(weight))
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "router.yaml").symlink_to("..data/router.yaml")
    watched = Watched(tmp_path / "router.yaml")
    assert not watched.holder.changed
    (tmp_path / "..next").symlink_to("two")
    (tmp_path / "..next").replace(tmp_path / "..data")
    assert watched.holder.changed
    await watched.holder.reload()
    assert watched.weight == 2.0


async def watch_steps(watched: Watched, *steps: Callable[[], None]) -> list[float]:
    """Watch by looking; each step is taken in one sleep, and the watch ends with the sleep after the last."""
    remaining = list(steps)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if not remaining:
            raise asyncio.CancelledError
        remaining.pop(0)()

    with pytest.raises(asyncio.CancelledError):
        await watched.holder.watch(sleep=sleep, notified=False)
    return slept


def nothing() -> None:
    """A step in which the file stays as it is."""


async def test_watching_waits_until_a_file_is_written_to_its_end(watched: Watched) -> None:
    slept = await watch_steps(
        watched,
        nothing,
        lambda: replace_file(watched.file, "models: {"),
        lambda: replace_file(watched.file, text("5")),
        nothing,
    )
    assert slept == [1.0, 1.0, 0.2, 0.2, 1.0]
    assert (watched.used, watched.errors) == ([5.0], [])


async def test_watching_goes_on_after_a_bad_file_and_a_missing_one(watched: Watched) -> None:
    await watch_steps(
        watched,
        lambda: replace_file(watched.file, text("none")),
        nothing,
        watched.file.unlink,
        nothing,
        lambda: replace_file(watched.file, text("3")),
        nothing,
    )
    assert ([len(error.problems) for error in watched.errors], watched.used) == ([1, 1], [3.0])


async def test_a_notified_change_is_put_to_use(watched: Watched) -> None:
    used = asyncio.Event()
    watched.holder._on_change = lambda configuration: used.set()
    task = asyncio.create_task(watched.holder.watch(notified=True))
    await asyncio.sleep(0)
    replace_file(watched.file, text("4"))
    await asyncio.wait_for(used.wait(), 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_hangup_reloads(watched: Watched) -> None:
    loop = asyncio.get_running_loop()
    used = asyncio.Event()
    watched.holder._on_change = lambda configuration: used.set()
    watched.holder.reload_on_hangup(loop)
    try:
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.wait_for(used.wait(), 30)
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
