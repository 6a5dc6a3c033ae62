from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from router_service.telemetry.export import Rarely
from router_service.telemetry.logging import configure_logging


@pytest.fixture(autouse=True)
def _root_logger_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_json_logging_writes_one_object_per_line_with_the_extra_fields() -> None:
    stream = io.StringIO()
    configure_logging("info", json=True, stream=stream)
    logging.getLogger("llmrouter.audit").info(
        "llm_router.request.completed", extra={"tenant": "acme", "cost_nano_usd": 12, "rule": "a\nb", "odd": {1}}
    )
    (line,) = stream.getvalue().splitlines()
    record = json.loads(line)
    assert record.pop("time").endswith("Z")
    assert record.pop("odd")
    assert record == {
        "level": "info",
        "logger": "llmrouter.audit",
        "message": "llm_router.request.completed",
        "tenant": "acme",
        "cost_nano_usd": 12,
        "rule": "a\nb",
    }


def test_json_logging_keeps_a_traceback_in_the_same_line() -> None:
    stream = io.StringIO()
    configure_logging("INFO", json=True, stream=stream)
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("x").exception("it failed")
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: broken" in json.loads(line)["exception"]


def test_text_logging_puts_the_extra_fields_behind_the_message() -> None:
    stream = io.StringIO()
    configure_logging("INFO", stream=stream)
    logging.getLogger("x").info("done", extra={"tenant": "acme", "tier": ""})
    assert stream.getvalue().rstrip().endswith("INFO    x: done tenant=acme")


def test_records_below_the_level_are_not_written() -> None:
    stream = io.StringIO()
    configure_logging("WARNING", stream=stream)
    logging.getLogger("x").info("quiet")
    assert stream.getvalue() == ""


def test_a_kind_of_message_passes_once_in_a_while() -> None:
    now = 0.0
    rarely = Rarely(300.0, clock=lambda: now)
    failed = logging.makeLogRecord({"msg": "Failed to export %s"})
    full = logging.makeLogRecord({"msg": "Queue full"})
    passed = [rarely.filter(failed), rarely.filter(failed), rarely.filter(full)]
    now = 301.0
    assert [*passed, rarely.filter(failed)] == [True, False, True, True]
