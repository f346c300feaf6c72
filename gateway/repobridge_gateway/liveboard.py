"""The live messages of one bridge: of a wake that somebody waits for, and of the turns.

The message of a wake becomes that of the turn which it was for: who asked sees one message grow.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

from repobridge.session.events import Cursor
from repobridge.telemetry import Logger
from repobridge_gateway.live import Editor, LiveMessage, new_live
from repobridge_gateway.outbox import Live
from repobridge_gateway.render.pieces import Piece
from repobridge_gateway.store.port import OutboxStore

Render = Callable[[float], Piece]
_WAKE = "wake "
_NOWHERE = Cursor()
_log = Logger(__name__)


class LiveBoard:
    """Every live message of a bridge, each followed by a task of its own."""

    def __init__(
        self,
        uid: str,
        *,
        store: OutboxStore,
        editor: Editor,
        edited: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`edited` hears of each edit."""
        self._edited = edited
        self._uid = uid
        self._store = store
        self._editor = editor
        self._clock = clock
        self._shown: dict[str, LiveMessage] = {}
        self._left: dict[str, Live] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def take_up(self) -> None:
        """Learns which messages an earlier gateway left."""
        rows = [live for live in await self._store.lives() if live.bridge == self._uid]
        self._left = {live.turn: live for live in rows}

    def read_from(self, reached: Cursor) -> Cursor:
        """Where to read the log on, so that also the turns that were left are told whole."""
        begun = [live.read_from for live in self._left.values()]
        own = [each.sequence for each in begun if each.log_id == reached.log_id]
        return Cursor(reached.log_id, min([reached.sequence, *own]))

    async def close(self) -> None:
        """Stops following; the next gateway goes on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._shown.clear()

    def wake(self, message_id: str, channel_id: str, render: Render) -> None:
        """Shows a wake to who asked; called again, it looks different now."""
        self._show(_WAKE + message_id, channel_id, render)

    def wake_ended(self, message_id: str, render: Render) -> None:
        """The message won't get a turn: what is left of the wake's message says why."""
        self.turn_ended(_WAKE + message_id, render)

    async def turn(
        self,
        turn: str,
        message_id: str,
        channel_id: str,
        render: Render,
        *,
        since: Cursor = _NOWHERE,
    ) -> None:
        """Shows a turn, in the message of the wake that it was for, where there is one.

        `since` is the place in the log before it; of a turn that is told again the first counts.
        """
        if self.has(turn):
            self._show(turn, channel_id, render)
            return
        wake = self._shown.pop(_WAKE + message_id, None) if message_id else None
        left = self._left.pop(_WAKE + message_id, None) if message_id else None
        if wake is not None:
            old, wake.live = wake.live, replace(wake.live, turn=turn, read_from=since)
            wake.render = render
            self._shown[turn] = wake
            await self._store.put_live(wake.live)
            await self._store.drop_live(self._uid, old.turn)
            wake.changed()
            return
        if left is not None:
            self._left[turn] = replace(left, turn=turn, read_from=since)
            await self._store.put_live(self._left[turn])
            await self._store.drop_live(self._uid, left.turn)
        self._show(turn, channel_id, render, since=since)

    def has(self, turn: str) -> bool:
        """Whether a turn has a message that is not yet what it is to be in the end."""
        return turn in self._shown or turn in self._left

    def changed(self, turn: str) -> None:
        """Says that a turn looks different now."""
        if (shown := self._shown.get(turn)) is not None:
            shown.changed()

    def turn_ended(self, turn: str, render: Render) -> None:
        """Shows a turn for the last time."""
        if turn in self._left:
            left = self._left[turn]
            self._show(turn, left.channel_id, render)
        if (shown := self._shown.pop(turn, None)) is not None:
            shown.render = render
            shown.over()

    def _show(
        self, turn: str, channel_id: str, render: Render, *, since: Cursor = _NOWHERE
    ) -> None:
        if (shown := self._shown.get(turn)) is not None:
            shown.render = render
            shown.changed()
            return
        left = self._left.pop(turn, None)
        live = left or new_live(
            bridge=self._uid,
            turn=turn,
            channel_id=channel_id,
            now=self._clock(),
            read_from=since,
        )
        made = self._shown[turn] = LiveMessage(
            live,
            render=render,
            store=self._store,
            editor=self._editor,
            is_taken_up=left is not None,
            edited=self._edited,
            clock=self._clock,
        )
        task = asyncio.create_task(self._follow(made), name=f"live message of {turn}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _follow(self, message: LiveMessage) -> None:
        try:
            await message.run()
        except Exception as error:  # nothing else depends on it
            _log.error("live message broke", cause=error, turn=message.live.turn)
