"""Sends the outbox's pieces: each channel's in their order, one at a time, channels beside another.

Level-triggered: what is to be done stands in the store, and `look` only says that it may have
changed. Cancelled at any point, it leaves everything to the next start: a piece whose sending was
begun is sent again with its nonce, or searched for.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from typing import Protocol

from repobridge.errors import Refusal
from repobridge.telemetry import Logger
from repobridge_gateway import retrace, steady
from repobridge_gateway.chat import ChatError, Fault, snowflake_at
from repobridge_gateway.outbox import Attempt, Due, Sending
from repobridge_gateway.pacer import Overloaded, Priority
from repobridge_gateway.pauses import Pauses
from repobridge_gateway.render.custom_id import Kind, parse_custom_id
from repobridge_gateway.render.pieces import Piece, from_json
from repobridge_gateway.render.substitute import forms, substitute
from repobridge_gateway.steady import Steady
from repobridge_gateway.store.port import Store

AT_ONCE = 64
"""Channels that are sent into at a time: what is sent is in memory, with its files."""
FORBIDDEN_SECONDS = 300.0
"""How long a channel is let be that we may not write in."""
MOST_TRIES = 8
"""Of a piece that its channel, or something between us and Discord, does not take."""
UNKNOWN_SECONDS = 24 * 3600.0
"""How far back is searched where nothing is known of the channel: no clock is so wrong."""
_ARCHIVED, _CHANNEL_GONE = 50083, frozenset({10003, 10004})
_DECISIONS = frozenset({Kind.APPROVAL, Kind.PLAN, Kind.QUESTION})
_log = Logger(__name__)


class Outcome(Enum):
    """What came of one attempt; the values are a metric's labels."""

    SENT = "sent"
    FOUND = "found"
    SUBSTITUTED = "substituted"
    """Sent in another form, as Discord did not take the first."""
    NOT_FOUND = "not found"
    NOT_SENT = "not sent"
    UNKNOWN = "unknown"
    LOST = "lost"


class Chat(retrace.History, Protocol):
    """Where pieces are sent; each call raises ChatError, and Overloaded where too many wait."""

    async def send(self, channel_id: str, piece: Piece, *, nonce: str, priority: Priority) -> str:
        """Creates a message; its id."""

    async def revive(self, thread_id: str) -> None:
        """Takes a thread out of the archive."""


class Sender:
    """The way of pieces from the store into channels."""

    def __init__(
        self,
        store: Store,
        chat: Chat,
        *,
        clock: Callable[[], Steady] = steady.now,
        wall: Callable[[], float] = time.time,
        at_once: int = AT_ONCE,
        settled: Callable[[str], None] = lambda bridge: None,
    ) -> None:
        """`settled` hears whose piece stands in its channel, or was given up."""
        self.counted: Counter[Outcome] = Counter()
        """What came of all attempts so far."""
        self._store = store
        self._chat = chat
        self._clock = clock
        self._wall = wall
        self._at_once = at_once
        self._settled = settled
        self._pauses = Pauses()
        self._store_pauses = Pauses()
        self._forbidden: set[str] = set()
        self._busy: set[str] = set()
        self._ended: set[str] = set()
        self._changed = asyncio.Event()

    # ------------------------------------------------------- what others see

    def look(self) -> None:
        """Says that there may be something to send."""
        self._changed.set()

    def permitted(self, channel_id: str) -> None:
        """Says that we may be allowed to write in a channel again, or that it is open again."""
        self._forbidden.discard(channel_id)
        self._pauses.ended(channel_id)
        self.look()

    def last_error(self, channel_id: str) -> str:
        """Why a channel does not get what is to be said there; empty where it does."""
        return self._pauses.why(channel_id)

    @property
    def forbidden(self) -> frozenset[str]:
        """The channels that did not let us write when we last tried."""
        return frozenset(self._forbidden)

    # ---------------------------------------------------------------- running

    async def run(self) -> None:
        """Sends until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._changed.clear()
                try:
                    await self._begin(tasks)
                    self._store_pauses.ended("")
                except Refusal as refusal:
                    self._store_pauses.failed("", self._now, why=str(refusal))
                    _log.error("outbox not read", error=str(refusal))
                await self._wait()

    async def _begin(self, tasks: asyncio.TaskGroup) -> None:
        """Begins with every channel that has something due, as far as there is room."""
        self._ended.clear()
        limit = self._at_once + len(self._busy) + self._pauses.held(self._now)
        found = await self._store.outbox.due(limit=limit)
        if len(found) < limit:
            self._pauses.keep({due.channel_id for due in found} | self._busy, self._now)
        # What ended while the store was asked may stand elsewhere by now: it is looked at again.
        skipped = self._busy | self._ended
        for due in found:
            if due.channel_id in skipped or self._pauses.holds(due.channel_id, self._now):
                continue
            if len(self._busy) >= self._at_once:
                break
            self._busy.add(due.channel_id)
            tasks.create_task(self._attend(due), name=f"send {due.send_id}")

    async def _wait(self) -> None:
        """Waits until somebody says so, or a pause ends."""
        now = self._now
        ends = (self._pauses.next_seconds(now), self._store_pauses.next_seconds(now))
        seconds = min((each for each in ends if each is not None), default=None)
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass

    @property
    def _now(self) -> float:
        return self._clock().seconds

    async def _attend(self, due: Due) -> None:
        try:
            await self._attempt(due)
        except Refusal as refusal:
            self._pause(due.channel_id, str(refusal))
            _log.error("outbox not written", send_id=due.send_id, error=str(refusal))
        finally:
            self._busy.discard(due.channel_id)
            self._ended.add(due.channel_id)
            self.look()

    # ----------------------------------------------------------- one attempt

    async def _attempt(self, due: Due) -> None:
        attempt, now = due.attempt(self._clock()), self._clock()
        if attempt is Attempt.SEARCH:
            sending = await self._store.outbox.sending(due.send_id)
        else:
            sending = await self._store.outbox.begin(due.send_id, now=now)
        if sending is None:
            return  # it was seen in the channel, or the channel is gone
        piece = await self._piece(sending)
        if piece is None:
            return
        try:
            if attempt is Attempt.SEARCH:
                await self._search(due, sending, piece)
            else:
                await self._send(sending, piece)
        except (ChatError, Overloaded) as error:
            await self._failed(due, sending, attempt, error)

    async def _piece(self, sending: Sending) -> Piece | None:
        """What is to be sent; a row that can't be read is given up, and its channel goes on."""
        told = sending.piece
        try:
            piece = from_json(told.payload, told.files)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            await self._lose(sending, "Damaged", str(error))
            return None
        return replace(piece, reply_to=piece.reply_to or told.reply_to)

    async def _send(self, sending: Sending, piece: Piece) -> None:
        told = sending.piece
        priority = _priority(told.turn, piece)
        outcome, is_revived = Outcome.SENT, False
        while True:
            try:
                message_id = await self._chat.send(
                    told.channel_id, piece, nonce=told.nonce, priority=priority
                )
                break
            except ChatError as error:
                if error.code == _ARCHIVED and not is_revived:
                    await self._chat.revive(told.channel_id)
                    is_revived = True
                    continue
                # What no Discord said may be said by nobody the next time.
                is_final = error.code or sending.tries >= MOST_TRIES
                other = substitute(piece, error.fault, error.code) if is_final else None
                if other is None or outcome is Outcome.SUBSTITUTED:
                    raise
                _log_of(sending).error("message refused", error=str(error))
                piece, outcome = other, Outcome.SUBSTITUTED
        await self._arrived(sending, message_id, outcome)

    async def _search(self, due: Due, sending: Sending, piece: Piece) -> None:
        after = self._searched_from(sending, piece)
        found = await retrace.find(self._chat, due.channel_id, forms(piece), after=after)
        if found:
            await self._arrived(sending, found, Outcome.FOUND)
            return
        await self._store.outbox.not_sent(due.send_id)
        self.counted[Outcome.NOT_FOUND] += 1
        _log_of(sending).info("message not found")

    def _searched_from(self, sending: Sending, piece: Piece) -> str:
        """The newest message that is certainly before the piece.

        What it answers and what was known before it is surer than clocks, which somebody may set.
        """
        known = max(piece.reply_to or "0", sending.after, key=int)
        return known if known != "0" else snowflake_at(self._wall() - UNKNOWN_SECONDS)

    async def _arrived(self, sending: Sending, message_id: str, outcome: Outcome) -> None:
        channel_id = sending.piece.channel_id
        await self._store.outbox.sent(sending.send_id, message_id=message_id)
        self._settled(sending.bridge)
        self._pauses.ended(channel_id)
        self._forbidden.discard(channel_id)
        self.counted[outcome] += 1
        _log_of(sending).debug("message sent", message_id=message_id, outcome=outcome)

    # --------------------------------------------------------------- failures

    async def _failed(
        self, due: Due, sending: Sending, attempt: Attempt, error: ChatError | Overloaded
    ) -> None:
        """Decides what a failure means for the piece, and for its channel."""
        fault = error.fault if isinstance(error, ChatError) else Fault.LIMITED
        code = error.code if isinstance(error, ChatError) else 0
        if fault is Fault.GONE and code in _CHANNEL_GONE:
            for bridge in await self._store.inbox.end_channel(due.channel_id):
                self._settled(bridge)
            self._pauses.ended(due.channel_id)
            self._forbidden.discard(due.channel_id)
            self.counted[Outcome.LOST] += 1
            _log_of(sending).warning("channel gone", error=str(error))
            return
        if fault is Fault.FORBIDDEN:
            self._forbidden.add(due.channel_id)
            # Without a code it is no word about the channel: a proxy's page may be gone at once.
            self._pause(due.channel_id, str(error), FORBIDDEN_SECONDS if code else 0.0)
            _log_of(sending).warning("channel closed to us", error=str(error))
            # Somebody may only have to give us a permission back.
            if code and sending.tries >= MOST_TRIES:
                await self._lose(sending, "Forbidden", str(error))
                return
        elif fault is Fault.REJECTED and (code or sending.tries >= MOST_TRIES):
            await self._lose(sending, "Rejected", str(error))
            return
        else:
            self._pause(due.channel_id, str(error))
        await self._not_sent(due, sending, attempt, fault, error)

    async def _not_sent(
        self,
        due: Due,
        sending: Sending,
        attempt: Attempt,
        fault: Fault,
        error: Exception,
    ) -> None:
        # Of a piece that was tried before, a refusal now says nothing of what came of that.
        is_known = attempt is Attempt.SEND and fault is not Fault.UNKNOWN
        if is_known:
            await self._store.outbox.not_sent(due.send_id)
        outcome = Outcome.NOT_SENT if is_known else Outcome.UNKNOWN
        self.counted[outcome] += 1
        _log_of(sending).info("message not sent", outcome=outcome, error=str(error))

    async def _lose(self, sending: Sending, reason: str, why: str) -> None:
        await self._store.outbox.lost(sending.send_id, reason=reason)
        self._settled(sending.bridge)
        self.counted[Outcome.LOST] += 1
        _log_of(sending).error("message lost", reason=reason, error=why)

    def _pause(self, channel_id: str, why: str, seconds: float = 0.0) -> None:
        self._pauses.failed(channel_id, self._now, why=why, seconds=seconds)


def _priority(name: str, piece: Piece) -> Priority:
    """Answers are named by their turn alone; sentences of ours by more than one word."""
    ids = [parse_custom_id(item.custom_id) for row in piece.components for item in row.items]
    if any(each is not None and each.kind in _DECISIONS for each in ids):
        return Priority.DECISION
    return Priority.NOTICE if " " in name else Priority.ANSWER


def _log_of(sending: Sending) -> Logger:
    told = sending.piece
    return _log.bind(
        send_id=sending.send_id, channel=told.channel_id, turn=told.turn, piece=told.index
    )
