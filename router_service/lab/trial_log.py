"""What an evaluation has paid for so far: a line of JSON for each call, written as soon as it has ended.

A run that breaks off goes on from here, and pays for nothing twice. What was graded without asking anybody is not
recorded: it is graded anew, by what the prompt set says now.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import BinaryIO

import msgspec

from router_service.lab.asking import Said


class TrialLogError(Exception):
    """The file cannot be gone on with; the message says why and what to do."""


class Reply(msgspec.Struct, frozen=True, kw_only=True, tag="call"):
    """What was said to a prompt. `digest` is that of the prompt as it was asked, `subject` in the form "model:name"."""

    prompt: str
    digest: str
    subject: str
    request_id: str
    said: Said


class Graded(msgspec.Struct, frozen=True, kw_only=True, tag="judge"):
    """What a judge said of the answer of the call `of`. Without a `score`, `error` says why."""

    of: str
    judge: str
    rubric: str
    request_id: str
    score: float | None = None
    cost: int | None = None
    cost_status: str = "indeterminate"
    error: str = ""


Record = Reply | Graded


class Recorded:
    """What was read of a log: the last answer to each prompt, the last grade of each answer, and what all have cost."""

    def __init__(self) -> None:
        self._replies: dict[tuple[str, str, str], Reply] = {}
        self._grades: dict[tuple[str, str, str], Graded] = {}
        self.calls = 0
        self.spent = 0
        self.spent_on_judging: Counter[str] = Counter()
        self.unpriced_grades: Counter[str] = Counter()

    def add(self, record: Record) -> None:
        """Take in a record; a failure does not replace an answer that there is."""
        if isinstance(record, Reply):
            self.calls += 1
            self.spent += record.said.cost or 0
            at = (record.prompt, record.digest, record.subject)
            if record.said.error == "" or at not in self._replies or self._replies[at].said.error:
                self._replies[at] = record
            return
        self.spent += record.cost or 0
        self.spent_on_judging[record.judge] += record.cost or 0
        self.unpriced_grades[record.judge] += record.cost is None
        asked = (record.of, record.judge, record.rubric)
        if record.score is not None or asked not in self._grades or self._grades[asked].score is None:
            self._grades[asked] = record

    def reply(self, prompt: str, digest: str, subject: str) -> Reply | None:
        """How the call of this very prompt ended, if there was one."""
        return self._replies.get((prompt, digest, subject))

    def grade(self, of: str, judge: str, rubric: str) -> Graded | None:
        """What this judge said of an answer, by this rubric."""
        return self._grades.get((of, judge, rubric))


class TrialLog:
    """Appends to the file and remembers all of it. Use it as a context manager.

    With `resume` a file that is there is gone on with. Raises `TrialLogError` otherwise, and for one that is no log.
    """

    def __init__(self, file: Path, *, resume: bool = False) -> None:
        self.file = file
        self._encoder = msgspec.json.Encoder()
        self.recorded = Recorded()
        ends_in_a_line = True
        if file.exists() and file.stat().st_size:
            if not resume:
                raise TrialLogError(
                    f"{file} holds the results of an earlier run. Go on with it by --resume, or name another file by "
                    "--results"
                )
            ends_in_a_line = self._read()
        try:
            # Answers may be confidential: nobody else on the machine reads them.
            self._open: BinaryIO = os.fdopen(os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")
        except OSError as error:
            raise TrialLogError(f"Cannot write {file}: {error.strerror}") from error
        if not ends_in_a_line:
            self._open.write(b"\n")

    def append(self, record: Record) -> None:
        """Write the record, so that not even the end of this process loses it."""
        self.recorded.add(record)
        self._open.write(self._encoder.encode(record) + b"\n")
        self._open.flush()

    def __enter__(self) -> TrialLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _read(self) -> bool:
        """Take in what the file holds; whether it ends in a whole line. One that a crash cut is removed: its call
        is made again."""
        decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)
        try:
            lines = self.file.read_bytes().split(b"\n")
        except OSError as error:
            raise TrialLogError(f"Cannot read {self.file}: {error.strerror}") from error
        for number, line in enumerate(lines, 1):
            if not line:
                continue
            try:
                self.recorded.add(decoder.decode(line))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                if number == len(lines):
                    os.truncate(self.file, self.file.stat().st_size - len(line))
                    return True
                raise TrialLogError(
                    f"{self.file}:{number}: is no result: {error}. Remove the line, or name another file by --results"
                ) from error
        return not lines[-1]
