"""Follows a bridge across its sleeps: its runner's events, and our own notices between them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from repobridge.errors import Refusal
from repobridge.session.events import Cursor, Event, TurnOpened, TurnOrigin
from repobridge_gateway.fleet.port import Bridge
from repobridge_gateway.fleet.progress import corrected_cursor
from repobridge_gateway.fleet.status import RunnerLink
from repobridge_gateway.notices import GatewayNotice
from repobridge_gateway.session_values import SessionInfo

_BUFFER = 64
_RETRY_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Live:
    """Everything that was stored when following began has been told."""


Item = Event | GatewayNotice | Live


async def follow(
    bridge: Bridge, conversation_id: str, *, after: Cursor | None
) -> AsyncIterator[Item]:
    """Everything about a conversation after a cursor, or from now on; ends when `serve` does.

    From now on, what is still open is told first, though it began before: the running turn (as a
    TurnOpened of sequence 0) and the requests that wait. Raises a
    Refusal where the cursor that was given is not one of the runner's log. Who reads slowly holds
    up only themselves.
    """
    out: asyncio.Queue[Item | Refusal | None] = asyncio.Queue(_BUFFER)
    with bridge.board.listening() as notices:
        follower = _Follower(bridge, conversation_id, out, after)
        tasks = [
            asyncio.create_task(follower.run()),
            asyncio.create_task(_forward(notices, out, conversation_id)),
        ]
        try:
            while (item := await out.get()) is not None:
                if isinstance(item, Refusal):
                    raise item
                yield item
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _forward(
    notices: asyncio.Queue[GatewayNotice],
    out: asyncio.Queue[Item | Refusal | None],
    conversation_id: str,
) -> None:
    while True:
        notice = await notices.get()
        if notice.conversation_id in {"", conversation_id}:
            await out.put(notice)


class _Follower:
    def __init__(
        self,
        bridge: Bridge,
        conversation_id: str,
        out: asyncio.Queue[Item | Refusal | None],
        after: Cursor | None,
    ) -> None:
        self._bridge = bridge
        self._conversation = conversation_id
        self._out = out
        self._cursor = after
        self._given = after is not None
        self._live_at: int | None = None
        self._is_live = False

    async def run(self) -> None:
        """Reads wake after wake until the bridge is closed."""
        while not self._bridge.status.value.closed:
            status = self._bridge.status.value
            if status.link is None:
                await self._asleep()
                await self._bridge.status.until(lambda s: s.closed or s.link is not None)
                continue
            try:
                await self._read(status.link)
            except Refusal as refusal:
                if self._given and corrected_cursor(Cursor(), refusal):
                    await self._out.put(refusal)
                    return
                corrected = corrected_cursor(self._cursor or Cursor(), refusal)
                if corrected:
                    self._cursor = corrected
                    continue
            await asyncio.sleep(_RETRY_SECONDS)
        await self._out.put(None)

    async def _asleep(self) -> None:
        """Nothing can be read now; what is stored after the cursor comes with the next wake."""
        newest = self._bridge.newest
        if self._cursor is None:
            self._cursor = newest
        if not self._given or self._cursor == newest:
            await self._say_live()

    async def _read(self, link: RunnerLink) -> None:
        accepted = not self._given
        if self._cursor is None and self._is_live:
            self._cursor = link.newest  # told to be live while asleep: nothing since is missed
        if self._cursor is None or self._live_at is None:
            activity = await link.client.activity()
            newest = Cursor(activity.log_id, activity.last_sequence)
            self._live_at = newest.sequence
            if self._cursor is None:
                await self._tell_what_is_open(link, newest)
                self._cursor = newest
            # A cursor that the log will refuse is not told to be live first.
            accepted |= self._cursor in {newest, Cursor("", newest.sequence)}
        if accepted and self._cursor.sequence >= self._live_at:
            await self._say_live()
        async for event in link.client.subscribe(self._cursor):
            self._given = False
            self._cursor = Cursor(event.log_id, event.sequence)
            if event.conversation_id in {"", self._conversation}:
                await self._out.put(event)
            if event.sequence >= self._live_at:
                await self._say_live()

    async def _tell_what_is_open(self, link: RunnerLink, newest: Cursor) -> None:
        session = (await link.client.sessions()).of(self._conversation)
        if session is None:
            return
        if session.turn_id:
            await self._out.put(_running_turn(session))
        for request in session.open_requests:
            # One that was asked after `newest` will come with the stream.
            if 0 < request.sequence <= newest.sequence:
                before = Cursor(newest.log_id, request.sequence - 1)
                async for event in link.client.subscribe(before):
                    await self._out.put(event)
                    break

    async def _say_live(self) -> None:
        if not self._is_live:
            self._is_live = True
            await self._out.put(Live())


def _running_turn(session: SessionInfo) -> Event:
    return Event(
        TurnOpened(TurnOrigin.MESSAGE, model=session.model),
        conversation_id=session.conversation_id,
        session_id=session.session_id,
        generation=session.generation,
        turn_id=session.turn_id,
        at=session.turn_started_at or time.time(),
    )
