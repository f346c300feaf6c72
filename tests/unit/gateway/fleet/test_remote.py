from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

import pytest

from repobridge.conditions import Reason
from repobridge.errors import Refusal, Status
from repobridge_gateway.fleet.observed import ClusterError, Observed
from repobridge_gateway.fleet.remote import Line, RemoteBridge
from repobridge_gateway.fleet.status import BridgePhase
from repobridge_gateway.notices import NoticeCode

PATIENCE_SECONDS = 90.0
ASLEEP = Observed(name="payments", phase="Asleep", generation=1, observed_generation=1)


class HandReach:
    """A cluster without an operator: it takes every wish."""

    again_seconds = 0.05

    def __init__(self) -> None:
        self.wishes: list[tuple[str, int]] = []
        self.wished = asyncio.Event()

    async def wish(self, name: str, replicas: int) -> None:
        """Notes it."""
        self.wishes.append((name, replicas))
        self.wished.set()

    def opened(self, seen: Observed) -> AbstractAsyncContextManager[Line]:
        """There is no pod."""
        raise ClusterError("There is no pod.")


@pytest.fixture
def reach() -> HandReach:
    return HandReach()


@pytest.fixture
async def bridge(reach: HandReach) -> AsyncIterator[RemoteBridge]:
    async with working(RemoteBridge(reach, ASLEEP, answering_seconds=0.01)) as made:
        yield made


@asynccontextmanager
async def working(bridge: RemoteBridge) -> AsyncIterator[RemoteBridge]:
    task = asyncio.create_task(bridge.run())
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            yield bridge
        assert not task.done(), task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_who_waits_is_told_that_no_operator_is_there_until_there_is_one(
    bridge: RemoteBridge, reach: HandReach
) -> None:
    waking = asyncio.create_task(bridge.awake())
    await reach.wished.wait()
    assert reach.wishes == [("payments", 1)]
    wished = replace(ASLEEP, wish=1, generation=2)
    bridge.see(wished)

    with bridge.board.listening() as heard:
        told = await bridge.status.until(lambda s: s.phase is BridgePhase.WAKING)
        notice = await heard.get()

    assert (told.step, told.failures) == (Reason.SCHEDULING, 0)
    assert "No operator has taken this up yet." in told.detail
    assert (notice.code, notice.text) == (NoticeCode.WAKING, told.detail)
    # One that comes later goes on from there, and who waits has not been sent away.
    bridge.see(
        replace(
            wished, phase="Waking", reason="Starting", message="It starts.", observed_generation=2
        )
    )
    now = await bridge.status.until(lambda s: s.step is Reason.STARTING)
    assert (now.phase, now.detail) == (BridgePhase.WAKING, "")
    assert not waking.done()
    bridge.failed("No node has room.")
    with pytest.raises(Refusal) as refused:
        await waking
    assert (refused.value.status, refused.value.message) == (
        Status.UNAVAILABLE,
        "No node has room.",
    )


async def test_a_wish_that_is_taken_back_is_waited_for_no_longer(bridge: RemoteBridge) -> None:
    bridge.see(replace(ASLEEP, wish=1, generation=2))
    await bridge.status.until(lambda s: s.phase is BridgePhase.WAKING)
    bridge.see(replace(ASLEEP, wish=0, generation=3))
    await bridge.status.until(lambda s: s.phase is BridgePhase.ASLEEP)
