"""The one message that shows a turn while it runs, edited as fast as Discord lets it be.

It is a comfort, not the answer: what can't be shown is left out, and nothing waits for it. Its row
in the store lets a gateway that starts take up the same message, and shrink it at the end.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from repobridge.errors import Refusal
from repobridge.session.events import Cursor
from repobridge.telemetry import Logger
from repobridge_gateway import steady
from repobridge_gateway.chat import ChatError, Fault
from repobridge_gateway.outbox import Live
from repobridge_gateway.pacer import Overloaded, Priority, Replaced
from repobridge_gateway.render.pieces import Piece, nonce
from repobridge_gateway.store.port import OutboxStore

PACE_SECONDS = 1.1
"""Between two edits in one channel; Discord allows about five in five seconds."""
SLOWEST_SECONDS = 15.0
RENEW_SECONDS = 45 * 60.0
"""Messages that are older than an hour may be edited far less often: another takes over before."""
_FOLLOWED = Piece("-# It goes on further down.")
_NONCE_SECONDS = 110.0
_ARCHIVED = 50083
_ARCHIVED_TRIES = 8
"""In the last edit: the answer opens its thread again, and comes about the same time."""
_log = Logger(__name__)


class Editor(Protocol):
    """What shows messages; every call raises ChatError."""

    async def send(self, channel_id: str, piece: Piece, *, nonce: str, priority: Priority) -> str:
        """Creates a message; its id."""

    async def show(self, channel_id: str, message_id: str, look: Callable[[], Piece]) -> Piece:
        """Changes a message to what it looks like when it is this call's turn; that look.

        Raises Replaced where a newer change came first.
        """

    async def settle(self, channel_id: str, message_id: str, piece: Piece) -> None:
        """Changes a message for the last time."""


class LiveMessage:
    """One message that follows something as it changes."""

    def __init__(
        self,
        live: Live,
        *,
        render: Callable[[float], Piece],
        store: OutboxStore,
        editor: Editor,
        is_taken_up: bool = False,
        edited: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`render` gives the message as it is to look at a time, in seconds since the epoch.

        `is_taken_up` says that an earlier gateway began it.
        """
        self.live = live
        self.render = render
        self._store = store
        self._editor = editor
        self._clock = clock
        self._shown: Piece | None = None
        self._changed = asyncio.Event()
        self._over = asyncio.Event()
        self._is_lost = False
        self._is_bare = False
        self._is_tried = is_taken_up
        self._edited = edited
        self._pace = PACE_SECONDS
        self._asked_at = -math.inf
        """When Discord was last asked to show something new: the pace counts from there."""

    def changed(self) -> None:
        """Says that it would look different now."""
        self._changed.set()

    def over(self) -> None:
        """Says that nothing more will change: one edit is left."""
        self._over.set()
        self._changed.set()

    async def run(self) -> None:
        """Shows it until it is over; a failure to show is no failure of anything else."""
        try:
            await self._appear()
            while not self._over.is_set() and not self._is_lost:
                await self._wait()
                if not self._over.is_set():
                    await self._show()
            await self._over.wait()
            await self._find()
            await self._settle()
        except Refusal as refusal:
            _log.warning("live message not kept", turn=self.live.turn, error=str(refusal))

    async def _wait(self) -> None:
        """Until it has changed and the pace allows an edit; seconds pass by without a change."""
        try:
            async with asyncio.timeout(max(self._pace, SLOWEST_SECONDS / 3)):
                await self._changed.wait()
        except TimeoutError:
            return
        try:
            async with asyncio.timeout(self._asked_at + self._pace - time.monotonic()):
                await self._over.wait()
        except TimeoutError:
            pass
        self._changed.clear()

    async def _appear(self) -> None:
        if self.live.message_id:
            self._changed.set()  # it looks as an earlier gateway left it
            return
        is_new = not self._may_have_been_sent()
        if is_new:
            nonce = _new_nonce(self.live, self._clock())
            self.live = replace(self.live, nonce=nonce, made_at=self._clock(), begun=steady.now())
        await self._store.put_live(self.live)
        piece = self._picture()
        self._asked_at = time.monotonic() if is_new else -math.inf
        self._is_tried = True
        try:
            sent = await self._editor.send(
                self.live.channel_id, piece, nonce=self.live.nonce, priority=Priority.NOTICE
            )
        except (ChatError, Overloaded) as error:
            self._failed(error)
            return
        # Where it had been sent before, it stands there as it was then.
        self._shown = piece if is_new else None
        if not is_new:
            self._changed.set()
        self.live = replace(self.live, message_id=sent)
        await self._store.live_sent(self.live.bridge, self.live.turn, message_id=sent)

    async def _find(self) -> None:
        """Learns the id of what may stand there, as it has to be changed once more."""
        pause = PACE_SECONDS
        while not self.live.message_id and not self._is_lost and self._may_have_been_sent():
            await asyncio.sleep(pause)
            pause = min(2 * pause, SLOWEST_SECONDS)
            await self._appear()

    def _may_have_been_sent(self) -> bool:
        """Whether it was tried, by whichever gateway, and Discord still knows its nonce."""
        age = steady.now().since(self.live.begun) if self._is_tried and self.live.begun else None
        return age is not None and 0 <= age < _NONCE_SECONDS

    async def _show(self) -> None:
        if not self.live.message_id:
            await self._appear()
            return
        if self._age > RENEW_SECONDS:
            await self._renew()
            return
        piece = self._picture()
        if piece == self._shown:
            return
        began = time.monotonic()

        def look() -> Piece:
            self._asked_at = time.monotonic()
            # It may have waited for its turn, and be out of date.
            is_old = self._changed.is_set() or self._asked_at - began >= 1
            return self._picture() if is_old else piece

        try:
            shown = await self._editor.show(self.live.channel_id, self.live.message_id, look)
        except Replaced:
            return
        except (ChatError, Overloaded) as error:
            self._failed(error)
            return
        self._shown = shown
        self._edited()
        # An edit that was held up says that Discord wants fewer of them.
        took = time.monotonic() - began
        slower = self._pace * 2 if took > 2 * PACE_SECONDS else self._pace * 0.9
        self._pace = min(max(slower, PACE_SECONDS), SLOWEST_SECONDS)

    @property
    def _age(self) -> float:
        """In seconds; by the clock on the wall only where the machine has started anew."""
        age = steady.now().since(self.live.begun) if self.live.begun else None
        return self._clock() - self.live.made_at if age is None else age

    async def _renew(self) -> None:
        """Goes on in another message. The old one is changed first: whoever dies in between leaves
        one message that can be found by its row, and none that nobody knows.
        """
        old = self.live
        try:
            await self._editor.settle(old.channel_id, old.message_id, _FOLLOWED)
        except (ChatError, Overloaded) as error:
            self._failed(error)
            return
        self.live = replace(old, message_id="", begun=None)
        await self._appear()
        await self._find()
        if not self.live.message_id:
            self.live = old
        self._shown = None

    async def _settle(self) -> None:
        """The last edit, tried until it is done or can't be."""
        pause, archived = PACE_SECONDS, 0
        while self.live.message_id and not self._is_lost and archived < _ARCHIVED_TRIES:
            try:
                await self._editor.settle(
                    self.live.channel_id, self.live.message_id, self._picture()
                )
                break
            except (ChatError, Overloaded) as error:
                self._failed(error)
                archived += isinstance(error, ChatError) and error.code == _ARCHIVED
                await asyncio.sleep(0 if self._is_lost else pause)
                pause = min(2 * pause, SLOWEST_SECONDS)
        await self._store.drop_live(self.live.bridge, self.live.turn)

    def _picture(self) -> Piece:
        """How it is to look now; once Discord refused its words, only the line of how it stands."""
        piece = self.render(self._clock())
        if not self._is_bare:
            return piece
        return replace(piece, content=piece.content.partition("\n")[0])

    def _failed(self, error: ChatError | Overloaded) -> None:
        # Without a code it was no word of Discord's; and an archived thread may be opened again.
        if isinstance(error, ChatError) and error.code and error.code != _ARCHIVED:
            if error.fault is Fault.REJECTED and not self._is_bare:
                self._is_bare = True
                self._changed.set()
            elif error.fault in {Fault.GONE, Fault.FORBIDDEN, Fault.REJECTED}:
                self._is_lost = True
        self._pace = min(2 * self._pace, SLOWEST_SECONDS)
        self._asked_at = time.monotonic()
        _log.warning("live message not shown", channel=self.live.channel_id, error=str(error))


def new_live(*, bridge: str, turn: str, channel_id: str, now: float, read_from: Cursor) -> Live:
    """The row of a message that is about to appear."""
    made = Live(
        bridge=bridge,
        turn=turn,
        channel_id=channel_id,
        nonce="",
        made_at=now,
        begun=steady.now(),
        read_from=read_from,
    )
    return replace(made, nonce=_new_nonce(made, now))


def _new_nonce(live: Live, now: float) -> str:
    return nonce(f"live {live.turn}", 0, content=f"{now}")
