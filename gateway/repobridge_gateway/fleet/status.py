"""Where a bridge stands, as everybody sees it who waits for it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import grpc

from repobridge.conditions import Reason
from repobridge.session.events import Cursor
from repobridge_gateway.session_client import SessionClient


class BridgePhase(Enum):
    """Where a bridge stands; the values are those of local.proto."""

    ASLEEP = 1
    WAKING = 2
    READY = 3
    DRAINING = 4
    FAILED = 5


@dataclass(frozen=True, eq=False)
class RunnerLink:
    """A running runner, as long as it runs."""

    client: SessionClient
    channel: grpc.aio.Channel
    newest: Cursor | None = None
    """The end of its log before the link was shown to anybody, where that was asked."""


@dataclass(frozen=True, slots=True)
class BridgeStatus:
    """A bridge's phase, and what belongs to it."""

    phase: BridgePhase
    reason: str = ""
    """Of FAILED: a sentence."""
    link: RunnerLink | None = None
    """Of READY and DRAINING."""
    failures: int = 0
    """How many wakes have failed so far; who waits compares."""
    closed: bool = False
    step: Reason | None = None
    """Of WAKING, where it is known: what is waited for."""
    detail: str = ""
    """More about that, such as the image that is pulled."""
