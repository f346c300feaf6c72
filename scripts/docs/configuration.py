"""The keys of the configuration file, from the models that read it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from repobridge import durations
from repobridge_gateway import schema
from repobridge_gateway.config import KEYS, LIVE
from repobridge_runner.settings import DEFAULT_ENVIRONMENT
from scripts.docs.docstrings import meanings
from scripts.docs.tables import code, table

_SECTIONS: Mapping[str, type[BaseModel]] = {
    "repos.NAME": schema.Repo,
    "repos.NAME.worktrees[]": schema.Worktree,
    "defaults": schema.Defaults,
    "defaults.rate_limit": schema.RateLimit,
    "providers.discord": schema.Discord,
    "serve": schema.Serve,
}
_KINDS: Mapping[object, str] = {
    str: "text",
    bool: "true or false",
    int: "whole number",
    float: "number",
    SecretStr: "text",
}


def text(sections: Mapping[str, type[BaseModel]] = _SECTIONS) -> str:
    """A table for each section of the file."""
    return "\n\n".join(_section(path, model) for path, model in sections.items())


def live() -> str:
    """A row for each key: whether a change of it takes effect while `serve` runs."""
    policy = ("serve.access", "serve.limits", "serve.guilds", "defaults.rate_limit")
    changing = [*policy, *(key for name, key in KEYS.items() if name in LIVE)]
    fixed = [key for name, key in KEYS.items() if name not in LIVE]
    rows = [(code(key), "at once") for key in changing]
    return table(
        ("Key", "Takes effect"), [*rows, *((code(key), "after a restart") for key in fixed)]
    )


def environment() -> str:
    """The variables that reach an agent by default."""
    return ", ".join(code(name) for name in DEFAULT_ENVIRONMENT)


def _section(path: str, model: type[BaseModel]) -> str:
    about = inspect.cleandoc(model.__doc__ or "")
    told = meanings(model)
    rows = [
        (code(name), _kind(field), _default(field), told.get(name, ""))
        for name, field in model.model_fields.items()
        if not _is_section(field)
    ]
    return f"### `{path}`\n\n{about}\n\n{table(('Key', 'Value', 'Default', 'Meaning'), rows)}"


def _is_section(field: FieldInfo) -> bool:
    inner = get_args(field.annotation) or (field.annotation,)
    return any(isinstance(each, type) and issubclass(each, BaseModel) for each in inner)


def _kind(field: FieldInfo) -> str:
    if field.default == schema.Defaults.model_fields["idle_timeout"].default:
        return "duration"
    annotation: Any = field.annotation
    if get_origin(annotation) is Literal:
        return " or ".join(code(choice) for choice in get_args(annotation) if choice)
    if get_origin(annotation) is tuple:
        return "list of texts"
    return _KINDS[annotation]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "(must be given)"
    if _kind(field) == "duration":
        return code(durations.text(field.default))
    default: object = field.default
    if isinstance(default, bool):
        return code(str(default).lower())
    if isinstance(default, SecretStr) or default in ("", ()):
        return ""
    return code(f"{default:g}" if isinstance(default, float) else str(default))
