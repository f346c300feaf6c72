"""What the operator says about a bridge: its status."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from repobridge.conditions import Phase
from repobridge.crd_base import ListMap, Model


class ConditionStatus(StrEnum):
    """Whether a condition holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Model):
    """One thing that is so, or is not, as in meta/v1."""

    type: Annotated[str, Field(min_length=1, max_length=316)]
    """Accepted, Ready or UpdatePending."""
    status: ConditionStatus
    """Whether it holds."""
    reason: Annotated[str, Field(min_length=1, max_length=128)]
    """A constant."""
    message: Annotated[str, Field(max_length=4096)] = ""
    """What it means and what to do."""
    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """Of which generation of the spec this is said."""
    last_transition_time: datetime | None = None
    """When its status changed last."""


class Endpoint(Model):
    """Where the awake bridge's runner listens."""

    pod_name: Annotated[str, Field(max_length=253)]
    """The pod."""
    pod_uid: Annotated[str, Field(max_length=64, alias="podUID")]
    """Its UID: another pod of that name is another endpoint."""
    address: Annotated[str, Field(max_length=64)]
    """Its address."""
    port: Annotated[int, Field(ge=1, le=65535)]
    """The runner's port."""


class RepoBridgeStatus(Model):
    """What became of the spec, as the operator has it."""

    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """The generation of the spec that this status is about."""
    phase: Phase | None = None
    """Suspended, Asleep, Waking, Ready, Draining or Failed."""
    replicas: Annotated[int, Field(ge=0)] = 0
    """How many pods there are."""
    selector: Annotated[str, Field(max_length=512)] = ""
    """The labels of these pods, for autoscalers."""
    channel_id: Annotated[str, Field(max_length=20)] = ""
    """The channel that this bridge holds; empty where another one has it."""
    endpoint: Endpoint | None = None
    sessions: Annotated[int, Field(ge=0)] = 0
    """How many sessions are live."""
    last_activity_time: datetime | None = None
    """When somebody last wanted something of it; written with other changes, or every 5 minutes."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16), ListMap("type")] = ()
    """Accepted, Ready, UpdatePending."""

    def condition(self, kind: str) -> Condition | None:
        """The condition of a type."""
        return next((each for each in self.conditions if each.type == kind), None)

    def as_object(self) -> dict[str, Any]:
        """The status as it is written: whole, zeros too, without what is not known."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
