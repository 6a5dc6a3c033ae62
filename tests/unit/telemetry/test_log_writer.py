from __future__ import annotations

import io
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from router_service.telemetry.log_writer import LogWriter


class Pipe(io.StringIO):
    """A stream that takes nothing while it is full, and says when a writer is stuck in it."""

    def __init__(self) -> None:
        super().__init__()
        self.has_room = threading.Event()
        self.stuck = threading.Event()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.stuck.set()
        assert self.has_room.wait(10)
        self.writes.append(text)
        return super().write(text)


@contextmanager
def a_logger(handler: logging.Handler) -> Iterator[logging.Logger]:
    logger = logging.Logger("test")  # one that nobody else knows
    logger.addHandler(handler)
    try:
        yield logger
    finally:
        handler.close()


def test_closing_writes_what_is_left() -> None:
    stream = io.StringIO()
    with a_logger(LogWriter(stream, gather=60)) as logger:
        for number in range(100):
            logger.info("record %d", number)
    assert stream.getvalue().splitlines() == [f"record {number}" for number in range(100)]


def test_a_message_is_as_its_arguments_were() -> None:
    stream = io.StringIO()
    changing = [1]
    with a_logger(LogWriter(stream, gather=60)) as logger:
        logger.info("%s", changing)
        changing.append(2)
    assert stream.getvalue() == "[1]\n"


def test_a_full_pipe_holds_up_nobody_and_what_was_dropped_is_counted() -> None:
    pipe = Pipe()
    with a_logger(LogWriter(pipe, most_waiting=3, gather=0)) as logger:
        logger.info("first")
        assert pipe.stuck.wait(10)
        for number in range(5):
            logger.info("waiting %d", number)
        pipe.has_room.set()
    lines = pipe.getvalue().splitlines()
    assert lines[:4] == ["first", "waiting 0", "waiting 1", "waiting 2"]
    assert lines[4:] == ["2 log records were dropped: they came faster than they could be written"]


def test_records_that_come_together_are_written_together() -> None:
    pipe = Pipe()
    pipe.has_room.set()
    with a_logger(LogWriter(pipe, gather=60)) as logger:
        logger.info("one")
        logger.info("two")
    assert [text for text in pipe.writes if text] == ["one\ntwo\n"]


def test_a_record_that_cannot_be_formatted_does_not_take_others_along(capsys: pytest.CaptureFixture[str]) -> None:
    class Picky(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            if record.msg == "bad":
                raise ValueError("bad")
            return super().format(record)

    stream = io.StringIO()
    handler = LogWriter(stream)
    handler.setFormatter(Picky())
    with a_logger(handler) as logger:
        logger.info("good")
        logger.info("bad")
        logger.info("fine")
    assert stream.getvalue() == "good\nfine\n"
    assert "Logging error" in capsys.readouterr().err


def test_a_closed_stream_is_left_alone() -> None:
    stream = io.StringIO()
    handler = LogWriter(stream)
    stream.close()
    with a_logger(handler) as logger:
        logger.info("too late")
