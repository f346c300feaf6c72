"""The settings of operator and gateway as variables, from the models that read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import MISSING, fields
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from repobridge_gateway.policy_settings import PolicySettings
from repobridge_gateway.settings import GatewaySettings
from repobridge_operator.resources.podsettings import PodSettings
from repobridge_operator.settings import OperatorSettings
from scripts.docs.docstrings import meanings
from scripts.docs.tables import code, table

_MAPPINGS = frozenset({"pod", "network", "tenancy", "access", "limits", "guilds"})
"""What only a file can say whole; the fields of `pod` are variables too."""


def operator() -> str:
    """A row for each variable of the operator: its default, and what it means."""
    return _rows(OperatorSettings, (*_own(OperatorSettings), *_pod()))


def gateway() -> str:
    """A row for each variable of the gateway in a cluster."""
    return _rows(GatewaySettings, _own(GatewaySettings))


def live() -> str:
    """A row for each setting of the gateway in a cluster: whether it changes while it runs."""
    told = {**meanings(PolicySettings), **meanings(GatewaySettings)}
    return table(
        ("Setting", "Takes effect", "Meaning"),
        [
            (code(name), _when(name in GatewaySettings.LIVE), told.get(name, ""))
            for name in GatewaySettings.model_fields
        ],
    )


def _when(is_live: bool) -> str:
    return "at once" if is_live else "after a restart"


def _rows(model: type[BaseSettings], told: Iterable[tuple[str, Any, str]]) -> str:
    prefix = str(model.model_config["env_prefix"])
    rows = [
        (code(prefix + name.upper()), _shown(default), " ".join(meaning.split()))
        for name, default, meaning in told
    ]
    return table(("Variable", "Default", "Meaning"), rows)


def _own(model: type[BaseSettings]) -> Iterator[tuple[str, Any, str]]:
    told = meanings(model)
    for name, field in model.model_fields.items():
        if name not in _MAPPINGS:
            yield name, field.get_default(), told.get(name, "")


def _pod() -> Iterator[tuple[str, Any, str]]:
    told = meanings(PodSettings)
    for field in fields(PodSettings):
        yield f"pod__{field.name}", field.default, told.get(field.name, "")


def _shown(default: Any) -> str:
    if default is MISSING or default is PydanticUndefined:
        return "(must be given)"
    if default is None or default in ("", (), Path(), SecretStr("")):
        return ""
    value = default.value if isinstance(default, Enum) else default
    return code(f"{value:g}" if isinstance(value, float) else str(value))
