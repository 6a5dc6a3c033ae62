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
    one `${NAME}` and nothing else to NAME; `unusable` holds the locations whose variable is missing.
    """

    file: str
    data: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    environment: dict[Location, str] = field(default_factory=dict)
    unusable: set[Location] = field(default_factory=set)
    _keys: dict[Location, tuple[int, int]] = field(default_factory=dict)
    _values: dict[Location, tuple[int, int]] = field(default_factory=dict)

    def report(self, location: Location, message: str, fix: str = "", *, at_key: bool = False) -> None:
        """Note a problem at a value, or at its key; where the file does not hold it, at the nearest thing above."""
        mark = (self._keys if at_key else self._values).get(location)
        nearest = location
        while mark is None and nearest:
            nearest = nearest[:-1]
            mark = self._keys.get(nearest) or self._values.get(nearest)
        line, column = mark if nearest and mark else (1, 1)
        self.problems.append(
            Problem(file=self.file, line=line, column=column, path=dotted(location), message=message, fix=fix)
        )

    def known(self, location: Location) -> Location:
        """The part of a validator's location that the file holds: steps the validator invented are left out."""
        found: Location = ()
        for part in location:
            if (*found, part) in self._values:
                found = (*found, part)
        return found


def parse(text: str, file: str, environ: Mapping[str, str]) -> Source:
    """Read YAML; mistakes are noted in the source's `problems`, never raised."""
    source = Source(file)
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        # The end of the file is reported as a line after the last one.
        line, column = (min(mark.line, text.count("\n")) + 1, mark.column + 1) if mark else (1, 1)
        message = f"not valid YAML: {exc.problem or exc.context or 'syntax error'}"
        fix = "Check the indentation, the colons and the quotes on this line and the one before"
        source.problems.append(Problem(file=file, line=line, column=column, path="", message=message, fix=fix))
        return source
    except yaml.YAMLError:
        source.report((), "not valid YAML: it holds characters that YAML does not allow", "Save the file as UTF-8")
        return source
    if node is None:
        source.report((), "the file is empty", "Start with `providers:`, `models:` and `policies:`")
        return source
    data = _Reader(source, environ).read(node, (), ())
    if data == {}:
        source.report((), "the file is empty", "Start with `providers:`, `models:` and `policies:`")
    elif isinstance(data, dict):
        source.data = data
    else:
        source.report((), "the file is not a mapping", "Start with `providers:`, `models:` and `policies:`")
    return source


class _Reader:
    """Walks the node tree once."""

    def __init__(self, source: Source, environ: Mapping[str, str]) -> None:
        self._source = source
        self._environ = environ
        self._constructor = yaml.constructor.SafeConstructor()

    def read(self, node: yaml.Node, location: Location, above: tuple[yaml.Node, ...]) -> Any:
        source = self._source
        source._values[location] = (node.start_mark.line + 1, node.start_mark.column + 1)
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
        try:
            self._constructor.flatten_mapping(node)
        except yaml.MarkedYAMLError:
            source.report(location, "`<<` merges something that is not a mapping", "Write the keys out")
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:null":
                source.report(location, "a key is not text", "Put the key in quotes")
                continue
            # `123:` and `no:` are meant as names here, whatever YAML makes of them.
            key = key_node.value
            source._keys[(*location, key)] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            result[key] = self.read(value_node, (*location, key), above)
        return result

    def _scalar(self, node: yaml.Node, location: Location) -> Any:
        if node.tag in _AS_TEXT:
            return node.value
        if node.tag not in _SCALARS:
            self._source.report(location, f"the YAML tag {node.tag} is not supported", "Write a plain value")
            self._source.unusable.add(location)
            return None
        value = self._constructor.construct_object(node)
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

        whole = _REFERENCE.fullmatch(text)
        if whole and whole["name"] and self._environ.get(whole["name"]):
            self._source.environment[location] = whole["name"]
        return _REFERENCE.sub(fill, text)
