"""All that is done for one bridge: its messages go in, its log comes out, and both can be seen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from repobridge.telemetry import Logger
from repobridge_gateway.access import Members
from repobridge_gateway.bot.rest import Rest
from repobridge_gateway.channels import Channels, Served, served_by
from repobridge_gateway.courier import Courier
from repobridge_gateway.handover import Handover
from repobridge_gateway.liveboard import LiveBoard
from repobridge_gateway.metrics import GatewayMetrics
from repobridge_gateway.requested import RequestEars
from repobridge_gateway.store.port import Store
from repobridge_gateway.waking import ShownWaker

_log = Logger(__name__)


class Desk:
    """One bridge's."""

    def __init__(
        self,
        uid: str,
        channels: Channels,
        *,
        store: Store,
        rest: Rest,
        members: Members,
        told: Callable[[], None],
        ears: RequestEars | None = None,
        guild_of: Callable[[str], str] = lambda channel_id: "",
        metrics: GatewayMetrics | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        def served() -> Served | None:
            return served_by(channels, uid)

        counted = metrics or GatewayMetrics()
        board = LiveBoard(uid, store=store.outbox, editor=rest, edited=counted.edited, clock=clock)
        waker = ShownWaker(board, clock=clock, metrics=counted)
        self.handover = Handover(
            served,
            inbox=store.inbox,
            members=members,
            files=rest,
            waker=waker,
            me=lambda: rest.me,
            metrics=counted,
            clock=clock,
        )
        self.courier = Courier(
            uid,
            served,
            store=store,
            board=board,
            waker=waker,
            told=told,
            moved=self.handover.look,
            ears=ears,
            guild_of=guild_of,
            metrics=counted,
        )

    async def run(self) -> None:
        """Works for the bridge until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.courier.run(), name="courier")
            tasks.create_task(self.handover.run(), name="handover")


class Desks:
    """A desk for each bridge that has a channel."""

    def __init__(self, channels: Channels, make: Callable[[str], Desk]) -> None:
        self._channels = channels
        self._make = make
        self._open: dict[str, tuple[Desk, asyncio.Task[None]]] = {}

    def work(self, uid: str) -> None:
        """There may be something to hand over to a bridge."""
        if found := self._open.get(uid):
            found[0].handover.look()

    def delivered(self, uid: str) -> None:
        """A bridge's pieces have arrived in their channel."""
        if found := self._open.get(uid):
            found[0].courier.delivered()

    async def run(self) -> None:
        """Keeps a desk for each bridge, as bridges come and go."""
        try:
            while True:
                served = self._channels.served.value
                await self._keep({each.uid for each in served.values()})
                if self._channels.served.value is served:
                    await self._channels.served.changed()
        finally:
            await self._keep(set())

    async def _keep(self, wanted: set[str]) -> None:
        for uid in wanted - self._open.keys():
            desk = self._make(uid)
            task = asyncio.create_task(_lasting(uid, desk), name=f"desk of {uid}")
            self._open[uid] = (desk, task)
            desk.handover.look()
        for uid in self._open.keys() - wanted:
            _, task = self._open.pop(uid)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _lasting(uid: str, desk: Desk) -> None:
    """One bridge's failure ends no other's work, and not its own either."""
    while True:
        try:
            await desk.run()
            return
        except Exception as error:
            _log.error("desk broke", cause=error, bridge=uid)
        await asyncio.sleep(1.0)
        desk.handover.look()
