"""Settings of a process in a cluster: a YAML file for most, variables for any, frozen once read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_settings import BaseSettings, EnvSettingsSource

from repobridge.claims import TenancyRule
from repobridge.errors import RepoBridgeError
from repobridge.problem_words import problem_words

S = TypeVar("S", bound=BaseSettings)


class SettingsError(RepoBridgeError):
    """The settings are unusable; the message names the field and says what is wrong."""


class TenancySettings(BaseModel):
    """What some namespaces may have; with no rule at all, everyone may have every channel."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    namespaces: frozenset[str] = Field(min_length=1)
    guilds: frozenset[str] = frozenset()
    channels: frozenset[str] = frozenset()

    def rule(self) -> TenancyRule:
        """The same for the decision about claims."""
        return TenancyRule(namespaces=self.namespaces, guilds=self.guilds, channels=self.channels)


def words(value: object) -> object:
    """What commas separate in a variable, as a tuple; anything else as it is."""
    if isinstance(value, str):
        return tuple(word for word in (each.strip() for each in value.split(",")) if word)
    return value


def load(kind: type[S], path: Path | None) -> S:
    """The settings of a file (YAML, or JSON, which is YAML) and of the environment, which wins.

    Raises SettingsError with a sentence about each thing that is wrong.
    """
    text = _text(path) if path is not None else ""
    given = _read(path, text) if path is not None else {}
    try:
        return kind(**_merged(given, EnvSettingsSource(kind)()))
    except ValidationError as error:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        found = "; ".join(_sentence(each, root) for each in error.errors(include_url=False))
        raise SettingsError(f"The settings are wrong: {found}.") from error


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} can't be read: {error}") from error


def _read(path: Path, text: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        # The error's own text shows the line, which may have a secret.
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        why = error.problem or error.context
        raise SettingsError(f"{path}{line}: can't be read: {why}.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # A date that no calendar has is a ValueError.
        raise SettingsError(f"{path} can't be read: {error}.") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise SettingsError(f"{path} holds no mapping of settings.")
    return {str(name): value for name, value in found.items()}


def _merged(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(lower)
    for name, value in upper.items():
        below = merged.get(name)
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        merged[name] = _merged(below, value) if both and below is not None else value
    return merged


def _sentence(error: Mapping[str, Any], root: yaml.Node | None) -> str:
    path = tuple(step for step in error["loc"] if step != "[key]")
    where = ".".join(str(step) for step in path)
    line = _line(root, path)
    place = f"{where} (line {line})" if line else where
    message = problem_words(error["type"], error.get("ctx", {}), str(error["msg"]))
    return f"{place}: {message}" if where else message


def _line(root: yaml.Node | None, path: tuple[int | str, ...]) -> int:
    """The line of a field, or of the nearest thing around it; 0: a variable says it."""
    node, line = root, 0
    for step in path:
        if isinstance(node, yaml.MappingNode):
            found = [(k, v) for k, v in node.value if _is_called(k, str(step))]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            found = [(each, each) for each in node.value[step : step + 1]]
        else:
            break
        if not found:
            break
        place, node = found[0]
        line = place.start_mark.line + 1
    return line


def _is_called(key: yaml.Node, name: str) -> bool:
    """Whether a key is a field's name, in either of the ways in which it may be written."""
    return isinstance(key, yaml.ScalarNode) and name in {key.value, to_camel(key.value)}
