"""What was not handed over is tried again: after a pause, or once its bridge stands elsewhere."""

from __future__ import annotations

import asyncio
from pathlib import Path

from repobridge.errors import Refusal, Status
from repobridge_gateway.access import OPEN, Members
from repobridge_gateway.channels import Served
from repobridge_gateway.chat import ChatMessage, Person, Place
from repobridge_gateway.fleet.status import BridgePhase, BridgeStatus, RunnerLink
from repobridge_gateway.handover import Handover
from repobridge_gateway.inbox import Kept
from repobridge_gateway.store.sqlite import SqliteStore
from tests.unit.gateway.bridges import HandBridge


class SecretMissing:
    """Nobody wakes before the Secret is there; each try is counted."""

    def __init__(self) -> None:
        self.tries = 0
        self.tried = asyncio.Condition()

    async def awake(self, served: Served, kept: Kept) -> RunnerLink:
        async with self.tried:
            self.tries += 1
            self.tried.notify_all()
        raise Refusal(Status.UNAVAILABLE, "WAKE_FAILED", "The Secret anthropic is missing.")

    async def until(self, tries: int) -> None:
        async with asyncio.timeout(60), self.tried:
            await self.tried.wait_for(lambda: self.tries >= tries)


class NoFiles:
    """Nothing comes with these messages."""

    async def attachments(self, channel_id: str, message_id: str) -> tuple[()]:
        return ()

    async def content(self, url: str, *, largest_bytes: int) -> bytes:
        return b""

    async def member(self, guild_id: str, user_id: str, *, now: float) -> Person:
        return Person(user_id=user_id, display_name=user_id)


async def test_a_change_of_the_bridge_is_worth_another_try_at_once(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "store")
    bridge, waker = HandBridge(wanted=lambda: None), SecretMissing()
    served = Served(uid="uid", bridge=bridge, channel_id="1", created_at=0.0, access=OPEN)
    author = Person(user_id="ann", display_name="Ann")
    place = Place(guild_id="g", channel_id="1", parent_id="")
    message = ChatMessage(message_id="7", place=place, author=author, content="hello")
    await store.inbox.receive(message, bridge="uid", conversation="main")
    handover = Handover(
        lambda: served,
        inbox=store.inbox,
        members=Members(NoFiles(), clock=lambda: 0.0),
        files=NoFiles(),
        waker=waker,
        again_seconds=3600.0,
    )
    task = asyncio.create_task(handover.run())
    handover.look()
    await waker.until(1)
    async with asyncio.timeout(60):
        while waker.tries < 2:  # what changes while it is still trying is part of that try
            bridge.status.set(BridgeStatus(BridgePhase.FAILED, reason="still missing"))
            await asyncio.sleep(0)
    handover.look()
    await waker.until(3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [each.kept.message_id for each in await store.inbox.queue("uid", "main")] == ["7"]
    await store.close()
