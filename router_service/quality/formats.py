"""Gates that read an answer as what it should be: JSON, JSON of a schema, code, text of a pattern."""

from __future__ import annotations

import ast
import json
import re
import tomllib
import warnings
from dataclasses import dataclass
from typing import Any, Protocol

from router_service.domain.call import Call
from router_service.domain.chat import JsonSchemaFormat
from router_service.domain.quality import Gate, GateKind, Verdict
from router_service.quality.given import GivenAnswer
from router_service.quality.schema import Schema, SchemaUnclear

_LONGEST_JSON = 1_000_000
_LONGEST_CODE = 20_000
_LONGEST_MATCHED = 100_000
_DEEPEST_CODE = 60
# Signs that nest without a bracket.
_PILED_UP = re.compile(r"[-+~]{60}|(?:not\s{1,4}){60}|(?:lambda\s{0,4}:\s{0,4}){20}|(?:\*\*\s{0,2}-?){60}")
_FENCE = re.compile(r"^[ \t]{0,3}(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^\n]*$", re.MULTILINE)


class _NotJson(Exception):
    """The answer is no JSON; the message says why, in our words."""


class Json:
    """It is JSON. Around it a fence is allowed where the caller did not ask the provider for JSON."""

    def judge(self, call: Call, answer: GivenAnswer) -> Verdict:
        try:
            _parsed(call, answer)
        except _NotJson as exc:
            return Verdict(GateKind.JSON, False, 0.0, str(exc))
        return Verdict(GateKind.JSON, True, 1.0, "it is JSON")


class JsonOfSchema:
    """It is JSON that follows the gate's schema, else the call's own. A call without one passes as it is."""

    def __init__(self, gate: Gate) -> None:
        self._own = Schema(gate.schema_json) if gate.schema_json else None

    def judge(self, call: Call, answer: GivenAnswer) -> Verdict:
        asked = call.chat.response_format
        try:
            schema = self._own or (Schema(asked.schema_json) if isinstance(asked, JsonSchemaFormat) else None)
            if schema is None:
                return Verdict(GateKind.JSON_SCHEMA, True, 1.0, "the call asks for no schema")
            broken = schema.refuses(_parsed(call, answer))
        except _NotJson as exc:
            return Verdict(GateKind.JSON_SCHEMA, False, 0.0, str(exc))
        except SchemaUnclear as exc:
            return Verdict(GateKind.JSON_SCHEMA, True, 1.0, f"not checked: {exc}")
        reason = f"it breaks the schema's `{broken}`" if broken else "it follows the schema"
        return Verdict(GateKind.JSON_SCHEMA, not broken, float(not broken), reason)


def _parsed(call: Call, answer: GivenAnswer) -> Any:
    text = answer.text.strip()
    if call.chat.response_format is None and (fences := _fenced(text)) and len(fences) == 1 and text.startswith("`"):
        text = fences[0].code
    if len(text) > _LONGEST_JSON:
        raise _NotJson("it is too long to be read as JSON")
    try:
        return json.loads(text)
    except RecursionError as exc:
        raise _NotJson("it is nested too deeply to be read as JSON") from exc
    except ValueError as exc:
        raise _NotJson("it is not JSON") from exc


class _Matches(Protocol):
    def search(self, text: str) -> object | None: ...


@dataclass(frozen=True, slots=True)
class OfPattern:
    """The pattern is found in it. RE2 searches in linear time, whatever the pattern and the answer."""

    pattern: _Matches

    @classmethod
    def of(cls, gate: Gate) -> OfPattern:
        # An extra: only those who use this gate need it, and `check` asks for it.
        import re2  # noqa: PLC0415

        return cls(re2.compile(gate.pattern))

    def judge(self, call: Call, answer: GivenAnswer) -> Verdict:
        # Half a surrogate pair is nothing that RE2 could look at.
        text = answer.text[:_LONGEST_MATCHED].encode("utf-8", "replace").decode()
        passed = self.pattern.search(text) is not None
        reason = "it matches the pattern" if passed else "it does not match the pattern"
        return Verdict(GateKind.REGEX, passed, float(passed), reason)


@dataclass(frozen=True, slots=True)
class _Fenced:
    language: str
    code: str
    closed: bool


class CodeParses:
    """Every fenced block of Python, JSON or TOML parses, and every fence is closed. Other languages pass."""

    def judge(self, call: Call, answer: GivenAnswer) -> Verdict:
        blocks = _fenced(answer.text[:_LONGEST_MATCHED])
        if not blocks:
            return Verdict(GateKind.CODE_PARSES, True, 1.0, "it holds no code")
        if not blocks[-1].closed:
            return Verdict(GateKind.CODE_PARSES, False, 0.0, "its last block of code is not closed")
        broken = [block.language for block in blocks if not _parses(block)]
        score = 1 - len(broken) / len(blocks)
        languages = ", ".join(dict.fromkeys(_NAMES[name.lower()] for name in broken))
        reason = f"{len(broken)} of {len(blocks)} blocks do not parse" + (f" ({languages})" if languages else "")
        return Verdict(GateKind.CODE_PARSES, not broken, score, reason)


_NAMES = {"python": "Python", "py": "Python", "python3": "Python", "json": "JSON", "toml": "TOML"}


def _fenced(text: str) -> list[_Fenced]:
    blocks: list[_Fenced] = []
    opened: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if opened is None:
            opened = fence
        elif fence[1].startswith(opened[1]) and not fence[2]:
            blocks.append(_Fenced(opened[2], text[opened.end() + 1 : fence.start()], True))
            opened = None
    if opened is not None:
        blocks.append(_Fenced(opened[2], text[opened.end() + 1 :], False))
    return blocks


def _parses(block: _Fenced) -> bool:
    if len(block.code) > _LONGEST_CODE:
        return True
    try:
        match _NAMES.get(block.language.lower()):
            case "Python":
                return _is_python(block.code)
            case "JSON":
                json.loads(block.code)
            case "TOML":
                tomllib.loads(block.code)
    except (ValueError, RecursionError):
        return False
    return True


def _is_python(code: str) -> bool:
    lines = code.splitlines()
    if any(line.lstrip().startswith(">>>") for line in lines):
        code = "\n".join(line.lstrip()[4:] for line in lines if line.lstrip().startswith((">>>", "...")))
    # Deep nesting could exhaust the parser's stack, which is no error that Python catches.
    if _depth(code) > _DEEPEST_CODE or _PILED_UP.search(code):
        return True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(_dedented(code))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _dedented(code: str) -> str:
    """Without the indentation that a block within a list has."""
    lines = [line for line in code.splitlines() if line.strip()]
    margin = min((len(line) - len(line.lstrip(" ")) for line in lines), default=0)
    return "\n".join(line[margin:] if line.strip() else "" for line in code.splitlines())


def _depth(code: str) -> int:
    deepest = depth = 0
    for character in code:
        if character in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in ")]}":
            depth -= 1
    return deepest
