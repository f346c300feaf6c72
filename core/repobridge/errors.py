"""The one base error, and the refusals that cross the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class RepoBridgeError(Exception):
    """The base of every error that RepoBridge raises on purpose."""


class Status(Enum):
    """The gRPC status that a refusal becomes at the edge; the names are gRPC's."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    UNAVAILABLE = "UNAVAILABLE"
    INTERNAL = "INTERNAL"


@dataclass(eq=False)
class Refusal(RepoBridgeError):
    """A request that is refused, with what a caller needs to act on it.

    `reason` is a constant such as "QUEUE_FULL"; `message` is a sentence that says what was
    wrong, where, and what to do; `params` are facts for programs.
    """

    status: Status
    reason: str
    message: str
    params: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.message} ({self.reason})"
