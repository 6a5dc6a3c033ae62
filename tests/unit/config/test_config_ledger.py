"""The section `ledger`: what is recorded, and that prompts are not unless somebody asks for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from router_service.config.configuration import Configuration, TextSettings
from router_service.config.problem import Problem

Problems = Callable[..., tuple[Problem, ...]]
Read = Callable[..., Configuration]
DAY = 86_400.0
SMALL = """\
providers:
  openai: {}
models:
  gpt-4o: {provider: openai}
policies:
  default:
    rules:
      - {use: gpt-4o}
"""


def test_nothing_that_was_said_is_recorded_by_default(read: Read) -> None:
    assert read(SMALL).ledger.texts is None
    assert read(SMALL + "ledger: {folder: l, retention_days: 9}\n").ledger.texts is None


def test_texts_are_recorded_as_the_file_says(read: Read) -> None:
    found = read(SMALL + "ledger: {texts: {prompts: true, answers: true, share: 0.1, features: chat}}\n").ledger.texts
    assert found == TextSettings(
        prompts=True, answers=True, share=0.1, features=frozenset({"chat"}), retention=30 * DAY, max_characters=20_000
    )


def test_texts_are_kept_no_longer_than_the_calls_they_are_of(read: Read) -> None:
    settings = read(SMALL + "ledger: {retention_days: 7, texts: {prompts: true}}\n").ledger
    assert settings.texts is not None
    assert settings.texts.retention == settings.retention == 7 * DAY


@pytest.mark.parametrize(
    ("texts", "path", "message"),
    [
        ("{share: 0.1}", "ledger.texts", "records neither prompts nor answers"),
        ("{prompts: true, share: 0}", "ledger.texts.share", ""),
        ("{prompts: true, share: 1.5}", "ledger.texts.share", ""),
        ("{prompts: true, retention_days: 0}", "ledger.texts.retention_days", ""),
        ("{prompts: true, max_characters: 1000001}", "ledger.texts.max_characters", ""),
        ("{prompts: true, promts: true}", "ledger.texts.promts", ""),
    ],
)
def test_a_mistake_is_reported_where_it_is(problems: Problems, texts: str, path: str, message: str) -> None:
    [found] = problems(SMALL + f"ledger: {{texts: {texts}}}\n")
    assert found.path == path
    assert found.message.startswith(message)
