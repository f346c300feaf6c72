"""Wakes a bridge before the eyes of who asked: each step with its seconds, or what is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from repobridge.errors import Refusal
from repobridge.session.events import Phase
from repobridge_gateway.channels import Served
from repobridge_gateway.fleet.port import Bridge
from repobridge_gateway.fleet.status import BridgePhase, BridgeStatus, RunnerLink
from repobridge_gateway.inbox import Kept
from repobridge_gateway.liveboard import LiveBoard
from repobridge_gateway.metrics import GatewayMetrics
from repobridge_gateway.render.wake import Wake, WakeStage, render_wake, stage_of


class ShownWaker:
    """Wakes one bridge."""

    def __init__(
        self,
        board: LiveBoard,
        *,
        clock: Callable[[], float],
        metrics: GatewayMetrics | None = None,
    ) -> None:
        self._metrics = metrics or GatewayMetrics()
        self._board = board
        self._clock = clock
        self._wakes: dict[str, tuple[str, Wake]] = {}
        """By message, the channel and how far the wake is that it waits for."""

    async def awake(self, served: Served, kept: Kept) -> RunnerLink:
        """The runner; raises a Refusal once who asked has read why there is none."""
        bridge = served.bridge
        if _is_ready(bridge.status.value):
            return await bridge.awake()
        now = self._clock()
        known = self._wakes.get(kept.message_id)
        # Tried again: what was wrong is shown until something else is told.
        wake = known[1] if known else make_wake(now, served.stages)
        channel = kept.message.place.channel_id
        self._put(kept.message_id, channel, wake)
        following = asyncio.create_task(self._follow(bridge, kept.message_id))
        try:
            link = await bridge.awake()
        except Refusal as refusal:
            channel, wake = self._wakes[kept.message_id]
            self._put(kept.message_id, channel, wake.failed(refusal.message))
            self._metrics.woke(self._clock() - now, is_awake=False)
            raise
        finally:
            following.cancel()
        self._metrics.woke(self._clock() - now, is_awake=True)
        self.reached(Phase.STARTING, "")
        return link

    def reached(self, phase: Phase, detail: str) -> None:
        """What a runner says of its way, to everybody who waits."""
        if stage := stage_of(phase):
            for message_id, (channel, wake) in tuple(self._wakes.items()):
                self._put(message_id, channel, wake.at(stage, self._clock(), detail=detail))

    def begun(self, message_id: str) -> None:
        """A turn shows the message from now on."""
        self._wakes.pop(message_id, None)

    def not_run(self, message_id: str, sentence: str) -> None:
        """The message won't get a turn."""
        if found := self._wakes.pop(message_id, None):
            wake = found[1].failed(sentence)
            self._board.wake_ended(message_id, lambda now: render_wake(wake, now))

    async def _follow(self, bridge: Bridge, message_id: str) -> None:
        """Shows each step, and what is wrong, as the bridge's status tells it."""
        while True:
            if message_id in self._wakes:
                channel, wake = self._wakes[message_id]
                told = as_told(wake, bridge.status.value, self._clock())
                if told != wake:
                    self._put(message_id, channel, told)
            await bridge.status.changed()

    def _put(self, message_id: str, channel_id: str, wake: Wake) -> None:
        self._wakes[message_id] = (channel_id, wake)
        self._board.wake(message_id, channel_id, lambda now: render_wake(wake, now))


def make_wake(now: float, stages: tuple[WakeStage, ...]) -> Wake:
    """A wake at its first step."""
    return Wake(started_at=now, stages=stages).at(stages[0], now)


def as_told(wake: Wake, status: BridgeStatus, now: float) -> Wake:
    """The wake as the status of its bridge says that it stands."""
    if status.phase is BridgePhase.FAILED and status.reason:
        return wake.failed(status.reason)
    stage = stage_of(status.step) if status.step is not None else None
    if stage is not None:
        return wake.at(stage, now, detail=status.detail)
    if status.phase is BridgePhase.WAKING and wake.failure:
        return wake.at(wake.entered[-1][0], now)
    return wake


def _is_ready(status: BridgeStatus) -> bool:
    return status.phase is BridgePhase.READY and status.link is not None
