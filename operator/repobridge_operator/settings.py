"""The operator's settings: a file for most, REPOBRIDGE_OPERATOR_… for any, frozen once read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from repobridge import settings_file
from repobridge.settings_file import SettingsError, TenancySettings, words
from repobridge.telemetry import LogFormat
from repobridge_operator.resources.podsettings import (
    NetworkSettings,
    PodSettings,
    control_plane_in,
)

_PREFIX = "REPOBRIDGE_OPERATOR_"


class OperatorSettings(BaseSettings):
    """Everything that a person may set; a variable is a field's name in capitals, `__` between the
    names of nested ones: REPOBRIDGE_OPERATOR_POD__IMAGE.
    """

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    namespaces: Annotated[tuple[str, ...], NoDecode, BeforeValidator(words)] = ()
    """Which namespaces are served, separated by commas in a variable; none: all of them."""
    namespace: str = Field(default="repobridge", min_length=1)
    """The operator's own: where its Lease is, and the Secrets of its CA."""
    kubeconfig: Path | None = None
    """How to reach the API server; absent: as a pod in the cluster does."""
    context: str = ""
    """Which context of that file; empty: the current one."""

    pod: PodSettings
    """What all bridges' pods have in common; at least the image."""
    network: Mapping[str, Any] = Field(default_factory=dict)
    """Fields of `NetworkSettings`; the peers of the control plane default to the chart's."""
    tenancy: tuple[TenancySettings, ...] = ()

    lease_name: str = Field(default="repobridge-operator", min_length=1)
    """Which Lease operators contend for: one that finds it held waits."""
    identity: str = ""
    """Who holds the Lease; empty: the host's name and a random part."""
    lease_seconds: float = Field(default=15.0, ge=2.0, le=600.0)
    """How long a holder that is silent keeps the Lease."""

    listen: str = Field(default="0.0.0.0:8080", pattern=r"^.*:[0-9]{1,5}$")
    """HOST:PORT for /healthz, /readyz and /metrics."""
    workers: int = Field(default=8, ge=1, le=256)
    """How many bridges are worked on at a time."""
    queue_capacity: int = Field(default=50_000, ge=1)
    """How many bridges may wait; the next full look brings what did not fit."""
    retry_first_seconds: float = Field(default=0.2, gt=0.0)
    """The wait after a failed look; it doubles with each further one."""
    retry_cap_seconds: float = Field(default=300.0, gt=0.0)
    """The longest wait after failures in a row."""
    call_seconds: float = Field(default=10.0, gt=0.0)
    """The deadline of each call to the API server."""
    watch_seconds: int = Field(default=300, ge=5)
    """After how long a watch is begun anew."""
    watch_silence_seconds: float = Field(default=90.0, gt=0.0)
    """After how long without an event or bookmark (one a minute) a watch is taken for dead."""
    resync_seconds: float = Field(default=600.0, gt=0.0)
    """How often everything is listed, for deletions that no watch told of."""

    log_format: LogFormat = LogFormat.JSON
    """json or text."""
    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"
    """debug, info, warning or error."""

    @model_validator(mode="after")
    def _known_network_fields(self) -> OperatorSettings:
        known = {field.name for field in fields(NetworkSettings)}
        if unknown := sorted(set(self.network) - known):
            raise ValueError(f"network has no field {unknown[0]!r}; there are {sorted(known)}")
        return self

    def network_settings(self) -> NetworkSettings:
        """Who may reach the pods, and what they may reach."""
        given = {name: tuple(value) for name, value in self.network.items()}
        given.setdefault("control_plane", control_plane_in(self.namespace))
        return NetworkSettings(**given)


def load(path: Path | None) -> OperatorSettings:
    """The settings of a file and of the environment, which wins; raises SettingsError."""
    return settings_file.load(OperatorSettings, path)


__all__ = ["OperatorSettings", "SettingsError", "TenancySettings", "load"]
