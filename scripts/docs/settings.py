"""The operator's settings as variables, from the models that read them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, fields
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic_core import PydanticUndefined

from repobridge_operator.resources.podsettings import PodSettings
from repobridge_operator.settings import OperatorSettings
from scripts.docs.docstrings import meanings
from scripts.docs.tables import code, table

_PREFIX = str(OperatorSettings.model_config["env_prefix"])
_MAPPINGS = frozenset({"pod", "network", "tenancy"})
"""What only a file can say whole; the fields of `pod` are variables too."""


def operator() -> str:
    """A row for each variable: its default, and what it means."""
    rows = [
        (code(_PREFIX + name.upper()), _shown(default), " ".join(meaning.split()))
        for name, default, meaning in (*_own(), *_pod())
    ]
    return table(("Variable", "Default", "Meaning"), rows)


def _own() -> Iterator[tuple[str, Any, str]]:
    told = meanings(OperatorSettings)
    for name, field in OperatorSettings.model_fields.items():
        if name not in _MAPPINGS:
            yield name, field.get_default(), told.get(name, "")


def _pod() -> Iterator[tuple[str, Any, str]]:
    told = meanings(PodSettings)
    for field in fields(PodSettings):
        yield f"pod__{field.name}", field.default, told.get(field.name, "")


def _shown(default: Any) -> str:
    if default is MISSING or default is PydanticUndefined:
        return "(must be given)"
    if default is None or default in ("", (), Path()):
        return ""
    value = default.value if isinstance(default, Enum) else default
    return code(f"{value:g}" if isinstance(value, float) else str(value))
