"""What was not handed over is tried again, or refused with a sentence where no try would help."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc

from repobridge.errors import Refusal, Status
from repobridge.session import events as ev
from repobridge_gateway.access import OPEN, Members
from repobridge_gateway.channels import Served
from repobridge_gateway.chat import (
    Attachment,
    ChatError,
    ChatMessage,
    Fault,
    MessageEdited,
    Person,
    Place,
)
from repobridge_gateway.fleet.status import BridgePhase, BridgeStatus, RunnerLink
from repobridge_gateway.handover import LARGEST_FILE_BYTES, Handover, Waker
from repobridge_gateway.inbox import Effect, InboxState, Kept
from repobridge_gateway.session_client import SessionClient
from repobridge_gateway.store.inboxrows import SqliteInbox
from repobridge_gateway.store.port import InboxStore
from repobridge_gateway.store.sqlite import SqliteStore
from tests.fakes.scripted_claude.installed import ScriptedClaude
from tests.session.faulty import scripted_runner
from tests.unit.gateway.bridges import HandBridge

PLACE = Place(guild_id="g", channel_id="1", parent_id="")
ANN = Person(user_id="ann", display_name="Ann")
EDITED = [("1", "/status"), ("2", "")]


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


class Awake:
    """The runner is there."""

    async def awake(self, served: Served, kept: Kept) -> RunnerLink:
        return await served.bridge.awake()


class Files:
    """What comes with messages, or why it can't be had."""

    def __init__(self) -> None:
        self.of: dict[str, Sequence[Attachment] | ChatError] = {}

    async def attachments(self, channel_id: str, message_id: str) -> Sequence[Attachment]:
        found = self.of.get(message_id, ())
        if isinstance(found, ChatError):
            raise found
        return found

    async def content(self, url: str, *, largest_bytes: int) -> bytes:
        if url == "refused":
            raise ChatError(Fault.FORBIDDEN, "Discord says 403: cannot retrieve asset")
        return b""

    async def member(self, guild_id: str, user_id: str, *, now: float) -> Person:
        return Person(user_id=user_id, display_name=user_id)


class FailingOnce(SqliteInbox):
    """The disk fails when it is to be kept that the runner has a message."""

    failures = 1

    async def submitted(self, message_id: str, *, version: int, is_duplicate: bool = False) -> bool:
        if self.failures:
            self.failures -= 1
            raise Refusal(Status.INTERNAL, "STORE_FAILED", "The gateway's store failed.")
        return await super().submitted(message_id, version=version, is_duplicate=is_duplicate)


def message(number: int, text: str, *, has_file: bool = False) -> ChatMessage:
    files = (attachment(),) if has_file else ()
    return ChatMessage(
        message_id=str(number), place=PLACE, author=ANN, content=text, attachments=files
    )


def attachment(name: str = "a.txt", *, size: int = 0) -> Attachment:
    return Attachment(attachment_id="5", name=name, size=size, media_type="", url="there")


def handover_to(
    bridge: HandBridge,
    inbox: InboxStore,
    *,
    waker: Waker,
    files: Files | None = None,
    again_seconds: float = 1.0,
) -> Handover:
    """What hands over to a bridge whose channel is open to everybody."""
    served = Served(uid="uid", bridge=bridge, channel_id="1", created_at=0.0, access=OPEN)
    source = files or Files()
    return Handover(
        lambda: served,
        inbox=inbox,
        members=Members(source, clock=lambda: 0.0),
        files=source,
        waker=waker,
        again_seconds=again_seconds,
    )


@asynccontextmanager
async def handing_over(
    handover: Handover, store: SqliteStore, *messages: ChatMessage
) -> AsyncIterator[None]:
    for each in messages:
        await store.inbox.receive(each, bridge="uid", conversation="main")
    task = asyncio.create_task(handover.run())
    handover.look()
    yield
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def refused(store: SqliteStore, number: int) -> tuple[str, str]:
    """Why a message was not run, and what its author reads."""
    async with asyncio.timeout(90):
        while (kept := await store.inbox.find(str(number))) is None or not kept.state.is_final:
            await asyncio.sleep(0.01)
    assert kept.state is InboxState.REFUSED
    (due,) = await store.outbox.due()
    said = await store.outbox.sending(due.send_id)
    assert said is not None
    assert (said.piece.turn, said.piece.reply_to) == (f"refused {number}", str(number))
    await store.outbox.sent(due.send_id, message_id="9999")
    return kept.reason, said.piece.payload


async def test_a_change_of_the_bridge_is_worth_another_try_at_once(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "store")
    bridge, waker = HandBridge(wanted=lambda: None), SecretMissing()
    handover = handover_to(bridge, store.inbox, waker=waker, again_seconds=3600.0)
    async with handing_over(handover, store, message(7, "hello")):
        await waker.until(1)
        async with asyncio.timeout(60):
            while waker.tries < 2:  # what changes while it is still trying is part of that try
                bridge.status.set(BridgeStatus(BridgePhase.FAILED, reason="still missing"))
                await asyncio.sleep(0)
        handover.look()
        await waker.until(3)
    assert [each.kept.message_id for each in await store.inbox.queue("uid", "main")] == ["7"]
    await store.close()


async def test_files_that_can_not_be_had_stand_in_the_way_of_no_other_message(
    tmp_path: Path,
) -> None:
    store, bridge = await SqliteStore.open(tmp_path / "store"), HandBridge(wanted=lambda: None)
    files = Files()
    files.of["1"] = ChatError(Fault.FORBIDDEN, "Missing Access", code=50001)
    files.of["2"] = [attachment("`@everyone`.bin", size=LARGEST_FILE_BYTES + 1)]
    files.of["3"] = [attachment("x" * 1001)]
    files.of["4"] = [replace(attachment(), url="refused")]
    handover = handover_to(bridge, store.inbox, waker=Awake(), files=files)
    messages = [message(number, "look at this", has_file=True) for number in (1, 2, 3, 4)]
    scripted = ScriptedClaude(tmp_path / "agent")
    async with (
        scripted_runner(tmp_path, scripted) as runner,
        bridge.joined(runner),
        handing_over(handover, store, *messages, message(5, "and this")),
    ):
        reason, said = await refused(store, 1)
        assert (reason, "Read Message History" in said) == ("FilesForbidden", True)
        reason, said = await refused(store, 2)
        assert (reason, "`` `@everyone`.bin `` is larger than 25 MiB" in said) == (
            "FileTooLarge",
            True,
        )
        reason, said = await refused(store, 3)
        assert (reason, "1000 characters" in said) == ("BAD_FILE_NAME", True)
        reason, said = await refused(store, 4)
        assert (reason, "`a.txt` can't be fetched" in said) == ("FileRefused", True)
        assert (await runner.ended("5")).outcome is ev.TurnOutcome.COMPLETED
    await store.close()


async def test_what_was_taken_back_while_its_bridge_woke_is_never_begun(tmp_path: Path) -> None:
    store, bridge = await SqliteStore.open(tmp_path / "store"), HandBridge(wanted=lambda: None)
    handover = handover_to(bridge, store.inbox, waker=Awake())
    async with (
        scripted_runner(tmp_path, ScriptedClaude(tmp_path / "agent")) as runner,
        handing_over(handover, store, message(1, "never mind"), message(2, "do it")),
    ):
        async with asyncio.timeout(90):
            while not bridge.woken:
                await asyncio.sleep(0)
        assert await store.inbox.delete("1", ["1"]) == {"1": Effect.WISHED}
        async with bridge.joined(runner):
            await runner.ended("2")
        told = [each.body for each in runner.events if isinstance(each.body, ev.MessageChanged)]
        assert {each.message_id for each in told} == {"2"}
        gone = await store.inbox.find("1")
        assert gone is not None
        assert gone.state is InboxState.WITHDRAWN
    await store.close()


async def test_what_our_own_store_refuses_is_no_refusal_of_the_runners(tmp_path: Path) -> None:
    store, bridge = await SqliteStore.open(tmp_path / "store"), HandBridge(wanted=lambda: None)
    handover = handover_to(bridge, FailingOnce(store._database), waker=Awake(), again_seconds=0.01)
    async with (
        scripted_runner(tmp_path, ScriptedClaude(tmp_path / "agent")) as runner,
        bridge.joined(runner),
        handing_over(handover, store, message(1, "do it")),
    ):
        await runner.ended("1")
        async with asyncio.timeout(90):
            while (kept := await store.inbox.find("1")) is None or kept.state is InboxState.READY:
                await asyncio.sleep(0.01)
    assert kept.state is InboxState.SUBMITTED
    assert await store.outbox.due() == []
    await store.close()


async def test_what_became_a_command_or_nothing_is_passed_by_without_a_word(tmp_path: Path) -> None:
    store, bridge = await SqliteStore.open(tmp_path / "store"), HandBridge(wanted=lambda: None)
    handover = handover_to(bridge, store.inbox, waker=Awake())
    edits = [MessageEdited(message_id=each, place=PLACE, content=text) for each, text in EDITED]
    for number in (1, 2):
        await store.inbox.receive(message(number, "hello"), bridge="uid", conversation="main")
    for edit in edits:
        await store.inbox.edit(edit)
    async with grpc.aio.insecure_channel(f"unix:{tmp_path}/nobody") as nobody:
        link = RunnerLink(SessionClient(nobody), nobody)
        bridge.status.set(BridgeStatus(BridgePhase.READY, link=link))
        async with handing_over(handover, store), asyncio.timeout(60):
            while await store.inbox.work():
                await asyncio.sleep(0.01)
    found = [await store.inbox.find(each) for each, _ in EDITED]
    assert [each.reason for each in found if each is not None] == ["Command", "Empty"]
    assert await store.outbox.due() == []
    await store.close()
