"""Shows people that their message has arrived: 👀 on it, off the way of everything else."""

from __future__ import annotations

import asyncio
from typing import Protocol

from repobridge.errors import Refusal
from repobridge.telemetry import Logger
from repobridge_gateway.chat import ChatError, Fault
from repobridge_gateway.pacer import Overloaded
from repobridge_gateway.store.port import InboxStore

SEEN = "👀"
_AT_ONCE = 50
_AGAIN_SECONDS = 5.0
_log = Logger(__name__)


class Reactor(Protocol):
    """What reacts to messages."""

    async def react(self, channel_id: str, message_id: str, emoji: str) -> None:
        """Adds a reaction of ours; raises ChatError."""


class Marks:
    """The marks that are still to be made."""

    def __init__(self, inbox: InboxStore, reactor: Reactor) -> None:
        self._inbox = inbox
        self._reactor = reactor
        self._wanted = asyncio.Event()
        self._wanted.set()

    def look(self) -> None:
        """Says that a message has come."""
        self._wanted.set()

    async def run(self) -> None:
        """Marks until it is cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                while await self._mark():
                    pass
            except Refusal as refusal:
                _log.warning("messages not marked", error=str(refusal))
                await asyncio.sleep(_AGAIN_SECONDS)
                self._wanted.set()

    async def _mark(self) -> bool:
        """Marks some; False when nothing is left that can be marked now."""
        some = await self._inbox.unmarked(_AT_ONCE)
        done = await asyncio.gather(*(self._react(*each) for each in some))
        await self._inbox.marked([each[1] for each, ok in zip(some, done, strict=True) if ok])
        if some and not all(done):
            await asyncio.sleep(_AGAIN_SECONDS)
        return bool(some)

    async def _react(self, channel_id: str, message_id: str) -> bool:
        """Whether nothing more is to be done about it."""
        try:
            await self._reactor.react(channel_id, message_id, SEEN)
        except ChatError as error:
            return error.fault in {Fault.GONE, Fault.FORBIDDEN, Fault.REJECTED}
        except Overloaded:
            return False
        return True
