"""Who may not ask wakes nobody, and nobody's model, command or edit goes further than they may."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from repobridge.session import events as ev
from repobridge_gateway import commands
from repobridge_gateway.access import Access, Members, Permission, Rule
from repobridge_gateway.admission import Admission, admission
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
from repobridge_gateway.fleet.status import RunnerLink
from repobridge_gateway.handover import Handover
from repobridge_gateway.inbox import InboxState, Kept
from repobridge_gateway.store.sqlite import SqliteStore
from tests.fakes.scripted_claude.installed import ScriptedClaude, open_gate
from tests.session.faulty import scripted_runner
from tests.unit.gateway.bridges import HandBridge

PLACE = Place(guild_id="g", channel_id="1", parent_id="")
PROMPT, MANAGE = Permission.PROMPT, Permission.MANAGE
RULES = Access(
    rules=(
        Rule(role_id="asks", permissions=frozenset({PROMPT})),
        Rule(role_id="manages", permissions=frozenset({MANAGE})),
        Rule(role_id="sonnet", models=frozenset({"sonnet", "haiku"})),
        Rule(role_id="all", models=frozenset({"*"})),
    )
)
MAY_NOT = "You may not ask here; <@&asks> may."
ROLES: Mapping[str, frozenset[str]] = {
    "ann": frozenset({"asks"}),
    "sue": frozenset({"asks", "sonnet"}),
    "bob": frozenset(),
}


class Guild:
    """Who is there, as Discord tells it; nobody knows where it does not answer."""

    def __init__(self) -> None:
        self.is_silent = False
        self.woken: list[str] = []
        self.asked = asyncio.Event()

    async def member(self, guild_id: str, user_id: str, *, now: float) -> Person:
        self.asked.set()
        if self.is_silent:
            raise ChatError(Fault.LIMITED, "Later.")
        if user_id not in ROLES:
            raise ChatError(Fault.GONE, "Unknown Member", code=10007)
        return Person(user_id=user_id, display_name=user_id, role_ids=ROLES[user_id], as_of=now)

    async def attachments(self, channel_id: str, message_id: str) -> tuple[Attachment, ...]:
        return ()

    async def content(self, url: str, *, largest_bytes: int) -> bytes:
        return b""

    async def awake(self, served: Served, kept: Kept) -> RunnerLink:
        self.woken.append(kept.message_id)
        return await served.bridge.awake()


def served_by(bridge: HandBridge, access: Access = RULES, *, model: str = "") -> Served:
    return Served(
        uid="uid", bridge=bridge, channel_id="1", created_at=0.0, access=access, model=model
    )


def person(*roles: str) -> Person:
    return Person(user_id="7", display_name="ann", role_ids=frozenset(roles))


def message(number: int, author: str, text: str) -> ChatMessage:
    """A message of history, whose author carries no roles."""
    who = Person(user_id=author, display_name=author)
    return ChatMessage(message_id=str(number), place=PLACE, author=who, content=text)


@pytest.mark.parametrize(
    ("text", "roles", "told"),
    [
        ("hello", (), Admission(MAY_NOT)),
        ("hello", ("manages",), Admission(MAY_NOT)),
        ("hello", ("asks",), Admission(models=("own",))),
        ("hello", ("asks", "sonnet"), Admission(models=("haiku", "sonnet"))),
        ("hello", ("asks", "sonnet", "all"), Admission()),
        ("::compact", ("asks", "all"), Admission()),
        ("::clear", ("asks", "all"), Admission("You may not do that; <@&manages> may.")),
        ("::model  sonnet", ("asks", "all"), Admission("You may not do that; <@&manages> may.")),
        ("::model opus", ("asks", "manages"), Admission(models=("own",))),
        ("::model  sonnet", ("asks", "manages"),
         Admission("You may not choose sonnet here; you may use opus.")),
        ("::model sonnet", ("asks", "manages", "sonnet"), Admission(models=("haiku", "sonnet"))),
        ("/model sonnet", ("asks",), Admission(models=("own",))),  # words, and no command
    ],
)  # fmt: skip
async def test_a_text_goes_as_far_as_its_author_may(
    text: str, roles: tuple[str, ...], told: Admission
) -> None:
    served = served_by(HandBridge(wanted=lambda: None), model="opus")
    members = Members(Guild(), clock=lambda: 0.0)
    parsed = commands.parse(text)
    found = await admission(served, person(*roles), parsed, guild_id="g", members=members)
    assert replace(found, person=None) == told
    assert found.person == (None if told.refusal else person(*roles))


async def test_while_a_guilds_roles_are_unknown_nobody_is_refused() -> None:
    served = served_by(HandBridge(wanted=lambda: None), Access(is_pending=True))
    members = Members(Guild(), clock=lambda: 0.0)
    with pytest.raises(ChatError):
        await admission(served, person(), commands.parse("hello"), guild_id="g", members=members)


@asynccontextmanager
async def handing_over(
    directory: Path, bridge: HandBridge, *messages: ChatMessage, access: Access = RULES
) -> AsyncIterator[tuple[SqliteStore, Guild, Handover]]:
    store, guild = await SqliteStore.open(directory / "store"), Guild()
    handover = Handover(
        lambda: served_by(bridge, access),
        inbox=store.inbox,
        members=Members(guild, clock=lambda: 0.0),
        files=guild,
        waker=guild,
        again_seconds=0.01,
    )
    for each in messages:
        await store.inbox.receive(each, bridge="uid", conversation=f"of-{each.author.user_id}")
    task = asyncio.create_task(handover.run())
    handover.look()
    yield store, guild, handover
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await store.close()


async def ended(store: SqliteStore, number: int, state: InboxState) -> Kept:
    async with asyncio.timeout(90):
        while (kept := await store.inbox.find(str(number))) is None or kept.state is not state:
            await asyncio.sleep(0.01)
    return kept


async def words(store: SqliteStore, *, number: int = 1) -> list[str]:
    """What the channel hears, once it is so much."""
    told: list[str] = []
    async with asyncio.timeout(90):
        while len(told) < number:
            for each in await store.outbox.due():
                sending = await store.outbox.sending(each.send_id)
                assert sending is not None
                told.append(sending.piece.payload)
                await store.outbox.sent(each.send_id, message_id=str(9000 + len(told)))
            await asyncio.sleep(0.01)
    return told


async def test_a_bridge_is_woken_for_those_alone_who_may_ask(tmp_path: Path) -> None:
    bridge = HandBridge(wanted=lambda: None)
    strangers = message(1, "bob", "hello"), message(2, "gone", "hello")
    async with handing_over(tmp_path, bridge, *strangers) as (store, guild, handover):
        for number in (1, 2):
            assert (await ended(store, number, InboxState.REFUSED)).reason == "NotAllowed"
        assert guild.woken == []
        told = await words(store, number=2)
        assert [MAY_NOT in told[0], "has left the server" in told[1]] == [True, True]
        await store.inbox.receive(message(3, "ann", "hi"), bridge="uid", conversation="main")
        handover.look()
        async with asyncio.timeout(90):
            while not guild.woken:
                await asyncio.sleep(0.01)
        assert guild.woken == ["3"]


async def test_whose_roles_are_unknown_waits_and_wakes_nobody(tmp_path: Path) -> None:
    bridge = HandBridge(wanted=lambda: None)
    async with handing_over(tmp_path, bridge) as (store, guild, handover):
        guild.is_silent = True
        await store.inbox.receive(message(1, "bob", "hello"), bridge="uid", conversation="main")
        handover.look()
        async with asyncio.timeout(90):
            await guild.asked.wait()
        await ended(store, 1, InboxState.READY)
        guild.is_silent = False
        assert (await ended(store, 1, InboxState.REFUSED)).reason == "NotAllowed"
        assert guild.woken == []


async def test_a_session_with_a_model_that_its_author_may_not_use_runs_nothing_for_them(
    tmp_path: Path,
) -> None:
    bridge = HandBridge(wanted=lambda: None)
    scripted = ScriptedClaude(tmp_path / "agent")
    asking = message(1, "sue", "hello"), message(2, "ann", "hello")
    async with (
        scripted_runner(tmp_path, scripted) as runner,
        bridge.joined(runner),
        handing_over(tmp_path, bridge, *asking) as (store, _, _),
    ):
        kept = await ended(store, 1, InboxState.REFUSED)
        assert kept.reason == "MODEL_NOT_ALLOWED"
        (told,) = await words(store)
        assert "This session runs the agent's default model, and you may use haiku" in told
        assert (await runner.ended("2")).outcome is ev.TurnOutcome.COMPLETED


async def test_an_edit_into_what_its_author_may_not_do_takes_the_message_back(
    tmp_path: Path,
) -> None:
    bridge = HandBridge(wanted=lambda: None)
    scripted = ScriptedClaude(tmp_path / "agent")
    gate = scripted.gate("held")
    async with (
        scripted_runner(tmp_path, scripted) as runner,
        bridge.joined(runner),
        handing_over(tmp_path, bridge) as (store, _, handover),
    ):
        for each in (message(1, "ann", f"%gate {gate}"), message(2, "ann", "::compact")):
            await store.inbox.receive(each, bridge="uid", conversation="main")
            handover.look()
            await ended(store, int(each.message_id), InboxState.SUBMITTED)
        edit = MessageEdited(message_id="2", place=PLACE, content="/clear")
        await store.inbox.edit(edit)
        handover.look()
        (told,) = await words(store)
        assert "You may not do that; <@&manages> may. The message was taken back." in told
        await runner.message("2", ev.MessageState.WITHDRAWN)
        open_gate(gate)
        assert (await runner.ended("1")).outcome is ev.TurnOutcome.COMPLETED
