"""Takes the buttons away from messages that nobody needs to answer any more, and says how it ended.

The store knows which messages those are, whatever happened to the gateway in between. What the end
was is told by the log; where that was too long ago, the message says only that it is over.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from repobridge.errors import Refusal
from repobridge.session import events as ev
from repobridge.telemetry import Logger
from repobridge_gateway.chat import ChatError, Fault
from repobridge_gateway.clicks import Asked
from repobridge_gateway.pacer import Overloaded
from repobridge_gateway.render import wording
from repobridge_gateway.render.decisions import outcome_line, render_resolved_approval
from repobridge_gateway.render.measure import units
from repobridge_gateway.render.pieces import MESSAGE_UNITS, Piece
from repobridge_gateway.render.questions import render_resolved_question
from repobridge_gateway.requestbook import MOST, RequestBook
from repobridge_gateway.requested import LOST
from repobridge_gateway.store.port import ClickStore

LOOK_SECONDS = 10.0
"""A message whose buttons were out of date before it was sent is found so late at most."""
_OVER = f"{wording.STOPPED} No longer asked"
_EXPIRY = ("-# If nobody answers", "-# It goes on without an answer")
_NEVER = frozenset({Fault.GONE, Fault.FORBIDDEN, Fault.REJECTED})
_log = Logger(__name__)


class Shown(Protocol):
    """The messages that stand in channels; each call raises ChatError."""

    async def settle(self, channel_id: str, message_id: str, piece: Piece) -> None:
        """Changes a message for the last time."""

    async def text(self, channel_id: str, message_id: str) -> str:
        """What a message says."""


class Settler:
    """Settles messages."""

    def __init__(
        self, *, clicks: ClickStore, shown: Shown, book: RequestBook, clock: Callable[[], float]
    ) -> None:
        self._clicks = clicks
        self._shown = shown
        self._book = book
        self._clock = clock
        self._ends: OrderedDict[tuple[str, str], tuple[ev.RequestResolved, float]] = OrderedDict()
        self._lines: OrderedDict[str, str] = OrderedDict()
        self._wanted = asyncio.Event()

    def resolved(self, uid: str, resolved: ev.RequestResolved, *, at: float) -> None:
        """Remembers how a request ended, and looks for its message."""
        self._ends[uid, resolved.request_id] = (resolved, at)
        if len(self._ends) > MOST:
            self._ends.popitem(last=False)
        self.look()

    def ended(self, ulid: str, line: str) -> None:
        """Remembers what is to stand below a message whose buttons go."""
        self._lines[ulid] = line
        if len(self._lines) > MOST:
            self._lines.popitem(last=False)

    def look(self) -> None:
        """Says that there may be a message to settle."""
        self._wanted.set()

    async def run(self) -> None:
        """Settles until it is cancelled."""
        while True:
            self._wanted.clear()
            try:
                stale = await self._clicks.stale_buttons()
                await asyncio.gather(*(self._settle(asked) for asked in stale))
            except Refusal as refusal:
                _log.warning("buttons not looked for", error=str(refusal))
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._wanted.wait()
            except TimeoutError:
                pass

    async def _settle(self, asked: Asked) -> None:
        try:
            piece = await self._piece(asked)
            await self._shown.settle(asked.channel_id, asked.message_id, piece)
        except (ChatError, Overloaded) as error:
            _log.warning("message not settled", channel=asked.channel_id, error=str(error))
            if not (isinstance(error, ChatError) and error.fault in _NEVER):
                return
        self._lines.pop(asked.ulid, None)
        await self._clicks.buttons_gone(asked.ulid)

    async def _piece(self, asked: Asked) -> Piece:
        if asked.kind == LOST:
            text = await self._shown.text(asked.channel_id, asked.message_id)
            return below(text, self._lines.get(asked.ulid, ""))
        request = self._book.known(asked)
        end = self._ends.get((asked.bridge, asked.request_id))
        if request is None or end is None:
            kind = ev.RequestKind.PLAN if asked.kind == "plan" else None
            head = outcome_line(end[0], at=end[1], kind=kind) if end is not None else _OVER
            return _above(head, await self._shown.text(asked.channel_id, asked.message_id))
        resolved, at = end
        if isinstance(request, ev.QuestionAsked):
            return render_resolved_question(
                request, resolved, at=at, answers=self._book.answers(asked.ulid)
            )
        return render_resolved_approval(request, resolved, at=at)


def _above(head: str, text: str) -> Piece:
    """An outcome over what was asked, without what was still to come."""
    kept = [line for line in text.split("\n") if not line.startswith(_EXPIRY)]
    whole = "\n".join([head, *kept])
    return Piece(whole if units(whole) <= MESSAGE_UNITS else head)


def below(text: str, line: str) -> Piece:
    """A message that stays as it is, with a line more if there is room."""
    whole = f"{text}\n{line}" if line else text
    return Piece(whole if units(whole) <= MESSAGE_UNITS else text)
