"""A YAML file as a tree of mappings, lists and texts, with the line of everything in it.

Scalars stay texts: what they mean is for the schema to say, as in llm-bridge, where an unquoted
channel id is a text although it looks like a number. Duplicate keys are refused, because a YAML
library would silently keep the last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from repobridge_gateway.expansion import expand

Path = tuple[str | int, ...]
_LARGEST_NODES = 20_000
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """Something wrong with a file: where, and a sentence."""

    line: int
    field: str
    message: str


@dataclass(slots=True)
class Document:
    """What a file says, and on which line it says it."""

    value: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line(self, path: Path) -> int:
        """The line of a field, or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def dotted(path: Path) -> str:
    """A field's name for people: `repos.api.working_dir`, `worktrees[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read(text: str, environment: Mapping[str, str]) -> Document:
    """The document of a file's text, its variables expanded; what is wrong is in `problems`."""
    document = Document()
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        document.problems.append(Problem(line, "", f"is not YAML: {_reason(error)}"))
        return document
    except (yaml.YAMLError, RecursionError) as error:
        document.problems.append(Problem(1, "", f"is not YAML: {str(error) or 'nested too deep'}"))
        return document
    if node is not None:
        _Reader(document, environment).read_root(node)
    return document


def _reason(error: yaml.MarkedYAMLError) -> str:
    return " ".join(part for part in (error.context, error.problem) if part)


class _Reader:
    def __init__(self, document: Document, environment: Mapping[str, str]) -> None:
        self._document = document
        self._environment = environment
        self._nodes = 0

    def read_root(self, node: yaml.Node) -> None:
        try:
            self._document.value = self._value(node, (), frozenset())
        except _TooLargeError:
            # Aliases of aliases can make a small file say more than memory holds.
            self._problem(node, (), "says more than a configuration may (too many aliases)")

    def _value(self, node: yaml.Node, path: Path, above: frozenset[int]) -> Any:
        self._nodes += 1
        if self._nodes > _LARGEST_NODES:
            raise _TooLargeError
        if id(node) in above:
            self._problem(node, path, "contains itself through an alias")
            return None
        self._document.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, above | {id(node)})
        if isinstance(node, yaml.SequenceNode):
            inner = above | {id(node)}
            return [self._value(item, (*path, i), inner) for i, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        return self._scalar(node, path)

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> str | None:
        text, problems = expand(node.value, self._environment)
        for problem in problems:
            self._problem(node, path, problem)
        if problems:
            return str(node.value)
        # Expanded first: a variable that is set to nothing leaves the field out, as in llm-bridge.
        return None if node.style is None and text in _NULLS else text

    def _mapping(self, node: yaml.MappingNode, path: Path, above: frozenset[int]) -> Any:
        result: dict[str, Any] = {}
        first: dict[str, int] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self._problem(key_node, path, "has a key that is not a text")
                continue
            if key_node.tag == "tag:yaml.org,2002:merge":
                merged |= self._merged(value_node, path, above)
                continue
            key, problems = expand(key_node.value, self._environment)
            where = (*path, key)
            for problem in problems:
                self._problem(key_node, path, problem)
            if key in first:
                self._problem(key_node, where, f"is given twice; the first is on line {first[key]}")
                continue
            first[key] = line
            self._document.lines[where] = line
            result[key] = self._value(value_node, where, above)
        present = {key: value for key, value in result.items() if value is not None}
        return {**merged, **present}

    def _merged(self, node: yaml.Node, path: Path, above: frozenset[int]) -> dict[str, Any]:
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        result: dict[str, Any] = {}
        for source in reversed(sources):
            value = self._value(source, path, above)
            if isinstance(value, dict):
                result |= value
            else:
                self._problem(source, path, "merges something that is not a mapping")
        return result

    def _problem(self, node: yaml.Node, path: Path, message: str) -> None:
        line = node.start_mark.line + 1
        self._document.problems.append(Problem(line, dotted(path), message))


class _TooLargeError(Exception):
    pass
