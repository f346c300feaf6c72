"""Reads the log of one bridge, and turns it into what its channel is to hear: once, in order.

An event counts as read only when what comes of it is in the store, in one commit with the place in
the log. Whatever fails before that is read again; pieces have names, so that they are not doubled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from repobridge.errors import Refusal, Status
from repobridge.session import events as ev
from repobridge.telemetry import Logger
from repobridge_gateway.channels import Served
from repobridge_gateway.deliveries import Deliveries, Told, why_rejected
from repobridge_gateway.fleet.progress import corrected_cursor
from repobridge_gateway.fleet.status import RunnerLink
from repobridge_gateway.liveboard import LiveBoard
from repobridge_gateway.metrics import GatewayMetrics
from repobridge_gateway.render.live import render_live
from repobridge_gateway.render.turn_view import TurnView
from repobridge_gateway.requested import RequestEars
from repobridge_gateway.session_client import SessionClient
from repobridge_gateway.store.port import Delivery, Store
from repobridge_gateway.together import until_first
from repobridge_gateway.waking import ShownWaker

_QUIET_SECONDS = 0.5
_AGAIN_SECONDS = 0.5
_MOST_VIEWS = 200
_log = Logger(__name__)


class Courier:
    """What one bridge says."""

    def __init__(
        self,
        uid: str,
        served: Callable[[], Served | None],
        *,
        store: Store,
        board: LiveBoard,
        waker: ShownWaker,
        told: Callable[[], None],
        moved: Callable[[], None],
        ears: RequestEars | None = None,
        guild_of: Callable[[str], str] = lambda channel_id: "",
        metrics: GatewayMetrics | None = None,
    ) -> None:
        """`told` hears of pieces, `moved` that more may be handed over, `ears` of requests;
        `guild_of` knows the guild of a channel, empty where nobody has told.
        """
        self._uid = uid
        self._served = served
        self._store = store
        self._board = board
        self._waker = waker
        self._told = told
        self._moved = moved
        self._ears = ears
        self._metrics = metrics or GatewayMetrics()
        self._guild_of = guild_of
        self._deliveries = Deliveries(uid, store.clicks, store.inbox)
        self._views: dict[str, TurnView] = {}
        self._last: ev.Cursor | None = None
        self._delivered = ev.Cursor()
        self._unsaid = asyncio.Event()
        self._ack_wanted = asyncio.Event()

    def delivered(self) -> None:
        """Says that pieces have arrived: the runner may be told so."""
        self._ack_wanted.set()

    async def run(self) -> None:
        """Reads whenever the bridge is awake, until it is cancelled."""
        await self._board.take_up()
        try:
            while True:
                served = self._served()
                if served is None:
                    return
                status = await served.bridge.status.until(lambda each: each.link is not None)
                if status.link is not None:
                    await self._attend(served, status.link)
        finally:
            await self._board.close()

    async def _attend(self, served: Served, link: RunnerLink) -> None:
        """Reads one runner's log as long as it is the bridge's runner."""
        name = served.bridge.name
        await until_first(
            {
                f"runner of {name}": served.bridge.status.until(lambda now: now.link is not link),
                f"log of {name}": self._read(link.client),
                f"acks of {name}": self._ack(link.client),
                f"cursor of {name}": self._move_on(),
            }
        )

    # -------------------------------------------------------------- reading

    async def _read(self, client: SessionClient) -> None:
        start = self._last or await self._first()
        while True:
            try:
                async for event in client.subscribe(start):
                    await self._on(client, event)
                    start = self._last = ev.Cursor(event.log_id, event.sequence)
                    self._unsaid.set()
            except Refusal as refusal:
                corrected = corrected_cursor(start, refusal)
                if corrected is not None:
                    _log.warning("reading the log elsewhere", reason=refusal.reason)
                    start = corrected
                    continue
                if refusal.status is Status.UNAVAILABLE:  # so each sleep begins
                    _log.info("runner gone", bridge=self._uid, error=str(refusal))
                else:
                    _log.warning("log not read", bridge=self._uid, error=str(refusal))
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _first(self) -> ev.Cursor:
        """Where to begin: behind what was delivered, or so far before that open turns are whole."""
        self._delivered = await self._store.outbox.delivered(self._uid) or ev.Cursor()
        return self._board.read_from(self._delivered)

    def _is_news(self, event: ev.Event) -> bool:
        """False for what was delivered, and is only read again to be shown."""
        known = self._delivered
        return event.log_id != known.log_id or event.sequence > known.sequence

    async def _on(self, client: SessionClient, event: ev.Event) -> None:
        served = self._served()
        channel = _channel_of(served, event.conversation_id) if served is not None else ""
        if served is None:
            return
        if not channel and not isinstance(event.body, ev.UsageUpdated):
            return  # of a conversation that no channel hears it only counts what it used
        view = self._view(event)
        delivery = await self._deliveries.of(
            Told(
                event=event,
                client=client,
                channel_id=channel,
                threshold=served.attachment_threshold,
                view=view,
                guild_id=self._guild_of(served.channel_id),
            )
        )
        is_shown = self._is_news(event) or self._board.has(event.turn_id)
        if delivery is not None and isinstance(event.body, ev.TurnOpened) and is_shown:
            # Before its place is kept: read again, a turn whose message is not there gets one. One
            # that is over is read again only with a turn that is older, and goes on.
            await self._show(event, view, served, channel, key=delivery.asked[0].ulid)
        if delivery is not None and self._is_news(event):
            if await self._store.outbox.deliver(delivery):
                self._told()
            self._delivered = delivery.cursor
            self._ack_wanted.set()
        self._tell(event, view)

    def _view(self, event: ev.Event) -> TurnView | None:
        """The turn that an event belongs to, with the event in it."""
        if not event.turn_id:
            return None
        view = self._views.get(event.turn_id)
        if view is None:
            if not isinstance(event.body, ev.TurnOpened | ev.TurnEnded):
                return None  # of a turn that was over, or began too long ago
            if len(self._views) >= _MOST_VIEWS:
                del self._views[next(iter(self._views))]
            view = self._views[event.turn_id] = TurnView(event.turn_id)
        view.feed(event)
        return view

    # -------------------------------------------------------------- showing

    async def _show(
        self,
        event: ev.Event,
        view: TurnView | None,
        served: Served,
        channel: str,
        *,
        key: str,
    ) -> None:
        """Begins to show a turn; `key` is its button's."""
        message_id = event.body.message_id if isinstance(event.body, ev.TurnOpened) else ""
        self._waker.begun(message_id)
        if view is not None and served.streaming:
            # No reply: of a turn only the answer is to notify who asked.
            await self._board.turn(
                view.turn_id,
                message_id,
                channel,
                lambda now: render_live(view, now, key=key),
                since=ev.Cursor(event.log_id, event.sequence - 1),
            )

    def _tell(self, event: ev.Event, view: TurnView | None) -> None:
        """Lets others hear of what is no piece, also of what is only read again."""
        match event.body:
            case ev.SessionChanged(phase=phase, detail=detail) if phase is not None:
                self._waker.reached(phase, detail)
            case ev.TextDelta() if view is not None and self._is_news(event):
                self._count_first_text(view, event.at)
            case ev.MessageChanged(state=ev.MessageState.ENDED):
                self._moved()
            case ev.MessageChanged(state=ev.MessageState.REJECTED) as changed:
                self._waker.not_run(changed.message_id, why_rejected(changed))
            case ev.RequestResolved() as resolved if self._ears is not None:
                self._ears.resolved(self._uid, resolved, at=event.at)
            case (ev.ApprovalRequested() | ev.QuestionAsked()) as asked if self._ears is not None:
                self._ears.asked(self._uid, asked)
        if isinstance(event.body, ev.TurnEnded) and view is not None:
            self._views.pop(view.turn_id, None)
            self._board.turn_ended(view.turn_id, lambda now: render_live(view, now))
            self._moved()
        elif view is not None:
            self._board.changed(view.turn_id)

    def _count_first_text(self, view: TurnView, at: float) -> None:
        if view.opened_at is not None and [b.next_index for b in view.blocks.values()] == [1]:
            self._metrics.first_text(at - view.opened_at)

    # -------------------------------------------------------- place in the log

    async def _move_on(self) -> None:
        """Moves the place in the log over events that say nothing to the channel."""
        while True:
            await self._unsaid.wait()
            self._unsaid.clear()
            await asyncio.sleep(_QUIET_SECONDS)
            last = self._last
            if self._unsaid.is_set() or last is None or last == self._delivered:
                continue
            try:
                await self._store.outbox.deliver(Delivery(bridge=self._uid, cursor=last))
            except Refusal as refusal:
                _log.warning("place in the log not kept", error=str(refusal))
                continue
            self._ack_wanted.set()

    async def _ack(self, client: SessionClient) -> None:
        """Tells the runner what has arrived; at first, that somebody keeps count."""
        acked: ev.Cursor | None = None
        while True:
            try:
                cursor = await self._store.outbox.ack(self._uid)
                if cursor is None:
                    cursor = ev.Cursor((await client.activity()).log_id, 0)
                if cursor != acked:
                    await client.ack(cursor)
                    acked = cursor
            except Refusal as refusal:
                _log.debug("not acknowledged", bridge=self._uid, error=str(refusal))
                await asyncio.sleep(_AGAIN_SECONDS)
            await self._ack_wanted.wait()
            self._ack_wanted.clear()


def _channel_of(served: Served, conversation_id: str) -> str:
    """Where a conversation is heard; empty for one of another client's, such as a terminal's."""
    if conversation_id in {"", ev.MAIN_CONVERSATION}:
        return served.channel_id
    return conversation_id if conversation_id.isdigit() else ""
