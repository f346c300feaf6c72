"""What the gateway itself tells a channel, handed to everybody who follows the bridge."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum

from repobridge.session.events import Actor

QUEUE_LENGTH = 256


class NoticeCode(Enum):
    """What a notice is about."""

    IDLE_TIMEOUT = "IdleTimeout"
    WAKING = "Waking"
    READY = "Ready"
    WAKE_FAILED = "WakeFailed"
    RUNNER_CRASHED = "RunnerCrashed"
    SHUTTING_DOWN = "ShuttingDown"
    ASKED = "Asked"
    """Somebody sent a message; the text is theirs."""
    COMMAND = "Command"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayNotice:
    """A sentence for the channel."""

    code: NoticeCode
    text: str
    conversation_id: str = ""
    """Empty: for all."""
    message_id: str = ""
    author: Actor | None = None


class NoticeBoard:
    """Hands each notice to every listener, in order."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Queue[GatewayNotice]] = set()

    def post(self, notice: GatewayNotice) -> None:
        """Tells everybody; who is more than 256 notices behind loses the oldest."""
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(notice)

    @contextmanager
    def listening(self) -> Iterator[asyncio.Queue[GatewayNotice]]:
        """A queue of the notices from now on."""
        queue: asyncio.Queue[GatewayNotice] = asyncio.Queue(QUEUE_LENGTH)
        self._listeners.add(queue)
        try:
            yield queue
        finally:
            self._listeners.discard(queue)
