"""A YAML file as plain data, with the line of every key and value, and `${ENV}` filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from router_service.config.problem import Problem

Location = tuple[str | int, ...]
"""The keys and list positions that lead to a value, such as `("policies", "default", "rules", 2)`."""

_MOST_NODES = 100_000
_MOST_LEVELS = 64
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MERGE = "tag:yaml.org,2002:merge"
_Pairs = list[tuple[yaml.Node, yaml.Node]]

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SCALARS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null")}
_AS_TEXT = {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value"}
_PLAIN_KEY = re.compile(r"[^\s.\[\]\"]+")
_REFERENCE = re.compile(r"\$(?P<escaped>\$\{)|\$\{(?:(?P<name>[A-Za-z_]\w*)(?P<default>:-[^}]*)?\}|(?P<broken>))")


def dotted(location: Location) -> str:
    """The location as people write it: `policies.default.rules[2].use`."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            shown = part if _PLAIN_KEY.fullmatch(part) else f'"{part}"'
            text += f".{shown}" if text else shown
    return text


@dataclass(slots=True)
class Source:
    """The file's content and what was found wrong with it so far.

    `data` is the top mapping (empty where the YAML is broken). `environment` maps the location of each text that is
    one `${NAME}` and nothing else to NAME, `references` holds those of texts with any `${NAME}`; `unusable` holds the
    locations whose variable is missing. `warnings` are no mistakes. Where `has_lines` is false there is no file:
    problems then name variables in place of lines.
    """

    file: str
    data: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    environment: dict[Location, str] = field(default_factory=dict)
    references: set[Location] = field(default_factory=set)
    unusable: set[Location] = field(default_factory=set)
    has_lines: bool = True
    _keys: dict[Location, tuple[int, int]] = field(default_factory=dict)
    _values: dict[Location, tuple[int, int]] = field(default_factory=dict)

    def report(self, location: Location, message: str, fix: str = "", *, at_key: bool = False) -> None:
        """Note a problem at a value, or at its key; where the file does not hold it, at the nearest thing above."""
        if not self.has_lines:
            path = self.environment.get(location) or dotted(location)
            self.problems.append(Problem(file=self.file, line=0, column=0, path=path, message=message, fix=fix))
            return
        self.problems.append(self._problem(location, message, fix, at_key=at_key))

    def warn(self, location: Location, message: str, fix: str) -> None:
        """Note what is allowed and hardly meant, at a value of the file or at the nearest thing above."""
        self.warnings.append(self._problem(location, message, fix))

    def _problem(self, location: Location, message: str, fix: str, *, at_key: bool = False) -> Problem:
        line, column = self.place(location, at_key=at_key)
        return Problem(file=self.file, line=line, column=column, path=dotted(location), message=message, fix=fix)

    def place(self, location: Location, *, at_key: bool = False) -> tuple[int, int]:
        """Line and column, from 1, of a value or its key; of what is above where the file does not hold it."""
        mark = (self._keys if at_key else self._values).get(location)
        nearest = location
        while mark is None and nearest:
            nearest = nearest[:-1]
            mark = self._keys.get(nearest) or self._values.get(nearest)
        return mark if nearest and mark else (1, 1)

    def known(self, location: Location) -> Location:
        """The part of a validator's location that the file holds: steps the validator invented are left out."""
        if not self.has_lines:
            return location
        found: Location = ()
        for part in location:
            if (*found, part) in self._values:
                found = (*found, part)
        return found


def parse(text: str, file: str, environ: Mapping[str, str]) -> Source:
    """Read YAML; mistakes are noted in the source's `problems`, never raised."""
    source = Source(file)
    try:
        _check_extent(text)
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as exc:
        source.problems.append(_syntax(text, file, exc))
        return source
    except yaml.YAMLError:
        source.problems.append(_character(text, file))
        return source
    except _TooLarge as exc:
        source.problems.append(exc.problem(file))
        return source
    if node is None:
        source.report((), "the file is empty", "Start with `providers:`, `models:` and `policies:`")
        return source
    try:
        data = _Reader(source, environ).read(node, (), ())
    except _TooLarge as exc:
        source.problems.append(exc.problem(file))
        return source
    if data == {}:
        source.report((), "the file is empty", "Start with `providers:`, `models:` and `policies:`")
    elif isinstance(data, dict):
        source.data = data
    else:
        source.report((), "the file is not a mapping", "Start with `providers:`, `models:` and `policies:`")
    return source


class _TooLarge(Exception):
    """The file is nested too deeply or, its aliases written out, too long; `mark` is where that shows."""

    def __init__(self, message: str, fix: str, mark: Any) -> None:
        super().__init__(message)
        self._message, self._fix, self._mark = message, fix, mark

    def problem(self, file: str) -> Problem:
        line, column = self._mark.line + 1, self._mark.column + 1
        return Problem(file=file, line=line, column=column, path="", message=self._message, fix=self._fix)


def _too_long(mark: Any) -> _TooLarge:
    return _TooLarge(f"the file holds more than {_MOST_NODES} values, those of aliases counted", "Shorten it", mark)


def _too_deep(mark: Any) -> _TooLarge:
    return _TooLarge(f"is nested deeper than {_MOST_LEVELS} levels", "Nothing here needs that: write it flatter", mark)


def _check_extent(text: str) -> None:
    # The tree is built recursively: what is too deep for that has to be found before.
    levels = 0
    for number, event in enumerate(yaml.parse(text, Loader=_Loader)):
        if isinstance(event, yaml.CollectionStartEvent):
            levels += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            levels -= 1
        if levels > _MOST_LEVELS:
            raise _too_deep(event.start_mark)
        if number > 2 * _MOST_NODES:
            raise _too_long(event.start_mark)


def _syntax(text: str, file: str, exc: yaml.MarkedYAMLError) -> Problem:
    mark = exc.problem_mark or exc.context_mark
    message = f"not valid YAML: {exc.problem or exc.context or 'syntax error'}"
    fix = "Check the indentation, the colons and the quotes on this line and the one before"
    if mark is None:
        return Problem(file=file, line=1, column=1, path="", message=message, fix=fix)
    lines = text.split("\n")
    # The end of the file is reported as a line after the last one.
    number = min(mark.line, len(lines) - 1)
    line = lines[number]
    if reference := _REFERENCE.match(line, max(mark.column - 1, 0)):
        message = f"not valid YAML: {reference[0]} between braces or brackets needs quotes"
        fix = f'Put it in quotes: "{reference[0]}"'
    elif "\t" in line[: len(line) - len(line.lstrip())]:
        message, fix = "not valid YAML: a tab is used for indentation", "Indent with blanks"
    return Problem(file=file, line=number + 1, column=mark.column + 1, path="", message=message, fix=fix)


def _character(text: str, file: str) -> Problem:
    found = _FORBIDDEN.search(text)
    before = text[: found.start()] if found else ""
    character = f"the character U+{ord(found[0]):04X}" if found else "a character"
    return Problem(
        file=file,
        line=before.count("\n") + 1,
        column=len(before) - before.rfind("\n"),
        path="",
        message=f"not valid YAML: {character} is not allowed",
        fix='Remove it, or write it as an escape such as "\\u0007" in double quotes',
    )


class _Reader:
    """Walks the node tree once, aliases written out."""

    def __init__(self, source: Source, environ: Mapping[str, str]) -> None:
        self._source = source
        self._environ = environ
        self._constructor = yaml.constructor.SafeConstructor()
        self._values_read = 0
        self._merged: dict[yaml.Node, _Pairs] = {}

    def read(self, node: yaml.Node, location: Location, above: tuple[yaml.Node, ...]) -> Any:
        source = self._source
        source._values[location] = (node.start_mark.line + 1, node.start_mark.column + 1)
        self._count(1, node)
        if len(above) > _MOST_LEVELS:
            raise _too_deep(node.start_mark)
        if node in above:
            source.report(location, "an alias holds itself", "Write the value out")
            source.unusable.add(location)
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, location, (*above, node))
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*location, at), (*above, node)) for at, item in enumerate(node.value)]
        return self._scalar(node, location)

    def _mapping(self, node: yaml.MappingNode, location: Location, above: tuple[yaml.Node, ...]) -> dict[str, Any]:
        source = self._source
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = key_node.value
            if not isinstance(key, str):
                continue
            if key in seen:
                line, column = key_node.start_mark.line + 1, key_node.start_mark.column + 1
                path = dotted((*location, key))
                message, fix = "the key is given twice", "Remove one of the two"
                problem = Problem(file=source.file, line=line, column=column, path=path, message=message, fix=fix)
                source.problems.append(problem)
            seen.add(key)
        result: dict[str, Any] = {}
        for key_node, value_node in self._pairs(node, location):
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:null":
                source.report(location, "a key is not text", "Put the key in quotes")
                continue
            # `123:` and `no:` are meant as names here, whatever YAML makes of them.
            key = key_node.value
            source._keys[(*location, key)] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            result[key] = self.read(value_node, (*location, key), above)
        return result

    def _pairs(self, node: yaml.MappingNode, location: Location) -> _Pairs:
        """The mapping's keys and values with those merged by `<<` before them, each key once."""
        if node in self._merged:
            return self._merged[node]
        self._merged[node] = []  # what a mapping that merges itself finds
        own = [(key, value) for key, value in node.value if key.tag != _MERGE]
        merged: _Pairs = []
        for key, value in node.value:
            if key.tag != _MERGE:
                continue
            # Of several merged mappings the first one wins: it comes last here.
            for part in reversed(value.value) if isinstance(value, yaml.SequenceNode) else [value]:
                if not isinstance(part, yaml.MappingNode):
                    self._source.report(location, "`<<` merges something that is not a mapping", "Write the keys out")
                    continue
                merged += self._pairs(part, location)
                self._count(len(merged), part)
        known = {key.value if isinstance(key, yaml.ScalarNode) else key: (key, value) for key, value in merged + own}
        self._merged[node] = list(known.values())
        return self._merged[node]

    def _count(self, values: int, node: yaml.Node) -> None:
        self._values_read += values
        if self._values_read > _MOST_NODES:
            raise _too_long(node.start_mark)

    def _scalar(self, node: yaml.Node, location: Location) -> Any:
        if node.tag in _AS_TEXT:
            return node.value
        if node.tag not in _SCALARS:
            self._source.report(location, f"the YAML tag {node.tag} is not supported", "Write a plain value")
            self._source.unusable.add(location)
            return None
        try:
            value = self._constructor.construct_object(node)
        except (ValueError, KeyError):
            self._source.report(location, f"is not what its YAML tag {node.tag} says", "Write a plain value")
            self._source.unusable.add(location)
            return None
        return self._filled(value, location) if isinstance(value, str) and "$" in value else value

    def _filled(self, text: str, location: Location) -> str:
        def fill(match: re.Match[str]) -> str:
            if match["escaped"]:
                return "${"
            if match["broken"] is not None:
                fix = "Write ${NAME} or ${NAME:-default}, or $${ for a literal ${"
                self._source.report(location, "a `${` is not followed by a variable's name and `}`", fix)
                self._source.unusable.add(location)
                return match[0]
            name = match["name"]
            if value := self._environ.get(name):
                return value
            if match["default"] is not None:
                return match["default"][2:]
            fix = f"Set {name}, or give a default with ${{{name}:-default}}"
            self._source.report(location, f"the environment variable {name} is not set", fix)
            self._source.unusable.add(location)
            return match[0]

        if any(match["name"] for match in _REFERENCE.finditer(text)):
            self._source.references.add(location)
        whole = _REFERENCE.fullmatch(text)
        if whole and whole["name"] and self._environ.get(whole["name"]):
            self._source.environment[location] = whole["name"]
        return _REFERENCE.sub(fill, text)
