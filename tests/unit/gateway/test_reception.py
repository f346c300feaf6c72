"""What people do is kept in order, for those who may, and what can't be kept becomes a gap."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from repobridge.crd_access import Bucket, Limits, Rate
from repobridge.errors import Refusal, Status
from repobridge_gateway import reception as receiving
from repobridge_gateway.access import OPEN, Access, Members, Permission, Rule
from repobridge_gateway.authority import Authority
from repobridge_gateway.channels import FixedChannels, Served
from repobridge_gateway.chat import (
    ChannelGone,
    ChatError,
    ChatMessage,
    Connected,
    Fault,
    Interaction,
    InteractionKind,
    MessageEdited,
    MessagesDeleted,
    OwnMessage,
    Person,
    Place,
    Reaction,
    ThreadSeen,
)
from repobridge_gateway.inbox import InboxState
from repobridge_gateway.limits.ledger import Ledger
from repobridge_gateway.outbox import Outgoing
from repobridge_gateway.reception import Reception
from repobridge_gateway.speech import sentence
from repobridge_gateway.store.sqlite import SqliteStore
from repobridge_gateway.throttle import Throttle
from repobridge_gateway.toldonce import TOLD_AGAIN_SECONDS
from tests.unit.gateway.bridges import HandBridge

CHANNEL, THREAD, GUILD = "100", "101", "1"
PLACE = Place(guild_id=GUILD, channel_id=CHANNEL, parent_id="")


class Around:
    """Discord's REST API and the rest of the gateway, as far as a reception needs them."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.news = asyncio.Condition()
        self.parents = {THREAD: CHANNEL}
        self.asked_places: list[str] = []
        self.failures: list[ChatError] = []

    def _tell(self, *what: object) -> None:
        self.told.append(what if len(what) > 1 else what[0])

    async def place(self, channel_id: str) -> Place:
        self.asked_places.append(channel_id)
        if self.failures:
            raise self.failures.pop(0)
        parent = self.parents.get(channel_id, "")
        return Place(guild_id=GUILD, channel_id=channel_id, parent_id=parent)

    async def member(self, guild_id: str, user_id: str, *, now: float) -> Person:
        if self.failures:
            raise self.failures.pop(0)
        roles = frozenset({"role"} if user_id == "ann" else set())
        return Person(user_id=user_id, display_name=user_id, role_ids=roles, as_of=now)

    def connected(self, *, resumed: bool) -> None:
        self._tell("connected", resumed)

    def overflowed(self, channel_id: str) -> None:
        self._tell("overflowed", channel_id)

    async def hold(self, place: Place) -> None:
        self._tell("hold", place.channel_id)

    def edited(self, channel_id: str) -> None:
        self._tell("edited", channel_id)

    def work(self, uid: str) -> None:
        self._tell("work", uid)

    def said(self) -> None:
        self._tell("said")

    def settled(self, uid: str) -> None:
        self._tell("settled", uid)

    def interaction(self, interaction: Interaction) -> None:
        self._tell("interaction", interaction.name)

    def text_command(self, message: ChatMessage, served: Served) -> None:
        self._tell("command", message.content)

    def channel_gone(self, channel_id: str) -> None:
        self._tell("gone", channel_id)

    async def reacted(self, reaction: Reaction, served: Served) -> None:
        self._tell("reacted", reaction.emoji)

    def thread_seen(self, thread: ThreadSeen) -> None:
        self._tell("thread", thread.place.channel_id)


class Desk:
    """A reception with a store."""

    def __init__(self, store: SqliteStore, served: Served) -> None:
        self.store = store
        self.failures: list[Refusal] = []
        """What the ledger refuses with."""
        self.around = Around()
        self.reception = Reception(
            store=store,
            channels=FixedChannels([served]),
            places=self.around,
            members=Members(self.around, clock=lambda: 0.0),
            hearers=self.around,
            throttle=Throttle(self._ledger, authority=Authority(), clock=lambda: self.now),
            clock=lambda: self.now,
        )
        self.now = 0.0

    def _ledger(self) -> Ledger:
        if self.failures:
            raise self.failures.pop(0)
        return self.store.ledger

    async def take_in(self, *events: object) -> None:
        """Has events taken in, to the last."""
        for event in events:
            self.reception.hear(event)  # type: ignore[arg-type]
        task = asyncio.create_task(self.reception.run())
        async with asyncio.timeout(60):
            while self.reception.waiting:
                await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def kept(self) -> list[str]:
        """What stands in the inbox, in the order in which it is handed over."""
        found = []
        while waiting := await self.store.inbox.next_for("uid"):
            for each in waiting:
                found.append(each.kept.message.content)
                await self.store.inbox.submitted(each.kept.message_id, version=each.kept.version)
        return found

    async def said(self) -> list[Outgoing]:
        """What the channel hears."""
        sendings = [
            await self.store.outbox.sending(d.send_id) for d in await self.store.outbox.due()
        ]
        return [each.piece for each in sendings if each is not None]


def message(number: int, text: str = "", *, author: str = "ann", **others: object) -> ChatMessage:
    roles = frozenset({"role"}) if author == "ann" else frozenset[str]()
    person = Person(user_id=author, display_name=author, role_ids=roles, as_of=0.0)
    facts = {"place": PLACE, "author": person, "content": text or f"message {number}"}
    return ChatMessage(message_id=str(number), **(facts | others))  # type: ignore[arg-type]


@asynccontextmanager
async def a_desk(
    directory: Path,
    *,
    access: Access = OPEN,
    require_mention: bool = False,
    burst: int = 1000,
) -> AsyncIterator[Desk]:
    store = await SqliteStore.open(directory / "store", clock=lambda: 0.0)
    roomy = Bucket(per_second=1, burst=1000)
    served = Served(
        uid="uid",
        bridge=HandBridge(wanted=lambda: None),
        channel_id=CHANNEL,
        created_at=0.0,
        access=access,
        require_mention=require_mention,
        limits=Limits(rate=Rate(user=Bucket(per_second=0.1, burst=burst), channel=roomy)),
    )
    yield Desk(store, served)
    await store.close()


RULES = Access(rules=(Rule(role_id="role", permissions=frozenset({Permission.PROMPT})),))


async def test_messages_are_kept_in_their_order_and_held_where_something_was_missed(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.take_in(*(message(number) for number in range(1, 51)))
        assert await desk.kept() == [f"message {number}" for number in range(1, 51)]
        assert desk.around.told[:2] == [("hold", CHANNEL), ("work", "uid")]


async def test_only_what_names_us_is_for_us_where_that_is_asked(tmp_path: Path) -> None:
    async with a_desk(tmp_path, require_mention=True) as desk:
        in_a_thread = replace(PLACE, channel_id=THREAD, parent_id=CHANNEL)
        await desk.take_in(
            message(1, "to somebody"),
            message(2, "to us", mentions_us=True),
            message(3, "in a thread of theirs", place=in_a_thread),
        )
        assert await desk.kept() == ["to us"]
        await desk.take_in(message(4, "in ours", place=replace(in_a_thread, is_ours=True)))
        assert await desk.kept() == ["in ours"]
        assert await desk.store.gaps.cursor(CHANNEL) == "2"


async def test_who_may_not_ask_is_told_so_once_and_nothing_is_kept(tmp_path: Path) -> None:
    async with a_desk(tmp_path, access=RULES) as desk:
        refused = message(1, author="bob")
        await desk.take_in(refused, message(2), refused)
        (said,) = await desk.said()
        assert (said.turn, said.reply_to) == ("refused 1", "1")
        assert "You may not ask here; <@&role> may." in said.payload
        assert await desk.kept() == ["message 2"]


async def test_who_goes_on_writing_where_they_may_not_ask_is_told_so_again_after_a_minute(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path, access=RULES) as desk:
        await desk.take_in(message(1, author="bob"), message(2, author="bob"))
        await desk.take_in(message(3, author="eve"))
        desk.now = TOLD_AGAIN_SECONDS
        await desk.take_in(message(4, author="bob"))
        told = []
        while due := await desk.store.outbox.due():
            told += [each.reply_to for each in await desk.said()]
            for each in due:
                await desk.store.outbox.sent(each.send_id, message_id=str(len(told)))
        assert told == ["1", "3", "4"]
        assert await desk.kept() == []


async def test_beyond_a_limit_a_message_is_told_so_once_and_is_over_also_in_history(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path, burst=2) as desk:
        await desk.take_in(*(message(number) for number in range(1, 4)), message(1), message(3))
        assert await desk.store.gaps.cursor(CHANNEL) == "3"
        gap = await desk.store.gaps.open_gap(
            CHANNEL, bridge="uid", conversation="main", reason="away", first="0"
        )
        await desk.take_in(message(4), message(5, author="bob"))
        history = [message(4), message(5, author="bob")]
        filled = await desk.store.gaps.fill(gap, history, through="5", is_last=True)
        assert filled is not None
        assert await desk.store.gaps.close_gap(filled) is not None
        assert await desk.kept() == ["message 1", "message 2", "message 5"]
        (said,) = await desk.said()
        assert (said.turn, said.reply_to) == ("limited 3", "3")
        assert "it can be sent again <t:10:R>" in said.payload


async def test_a_message_waits_where_it_cannot_be_charged_and_is_charged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "_STORE_AGAIN_SECONDS", 0.01)
    async with a_desk(tmp_path, burst=2) as desk:
        desk.failures = [Refusal(Status.UNAVAILABLE, "DOWN", "It is down.")] * 5
        await desk.take_in(message(1), message(2), message(3))
        assert desk.failures == []
        assert await desk.kept() == ["message 1", "message 2"]


async def test_somebody_whose_roles_cannot_be_learned_now_is_kept_to_be_asked_later(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path, access=RULES) as desk:
        desk.around.failures = [ChatError(Fault.UNKNOWN, "Discord can't be reached")]
        unknown = Person(user_id="ann", display_name="ann")
        await desk.take_in(replace(message(1), author=unknown))
        assert await desk.kept() == ["message 1"]


async def test_the_channel_of_a_thread_that_nobody_told_of_is_asked_for_until_it_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "_STORE_AGAIN_SECONDS", 0.01)
    async with a_desk(tmp_path) as desk:
        a_page = "Discord says 404: a page instead of an answer"
        desk.around.failures = [
            ChatError(Fault.UNKNOWN, "Discord can't be reached"),
            ChatError(Fault.GONE, a_page),
            ChatError(Fault.FORBIDDEN, a_page),
        ]
        unknown = Place(guild_id=GUILD, channel_id=THREAD, parent_id=None)
        await desk.take_in(message(1, "within", place=unknown), message(2, "again", place=unknown))
        assert await desk.kept() == ["within", "again"]
        assert desk.around.asked_places == [THREAD] * 4


async def test_a_channel_that_the_library_does_not_know_is_asked_for_and_may_be_ours(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_desk(tmp_path) as desk:
        ours, elsewhere = replace(PLACE, parent_id=None), replace(PLACE, channel_id="999")
        await desk.take_in(
            message(1, "ours", place=ours),
            message(2, "not ours", place=replace(elsewhere, parent_id=None)),
        )
        assert await desk.kept() == ["ours"]
        desk.around.failures = [ChatError(Fault.GONE, "Unknown Channel", code=10003)]
        await desk.take_in(message(3, "gone", place=ours))
        assert await desk.kept() == []
        assert not [each for each in caplog.records if each.levelname == "ERROR"]


async def test_commands_and_interactions_are_handed_on_and_not_kept(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        click = Interaction(
            interaction_id="9",
            token="t",
            kind=InteractionKind.COMPONENT,
            place=PLACE,
            person=message(1).author,
            name="rb1:x",
        )
        await desk.take_in(Connected(0, resumed=False), click, message(1, "/status"))
        assert await desk.kept() == []
        assert desk.around.told == [
            ("connected", False), ("interaction", "rb1:x"), ("hold", CHANNEL),
            ("command", "/status"),
        ]  # fmt: skip


@pytest.mark.parametrize("require_mention", [True, False])
async def test_who_writes_nothing_that_can_be_read_is_told_so_where_everything_is_for_us(
    require_mention: bool, tmp_path: Path
) -> None:
    async with a_desk(tmp_path, require_mention=require_mention) as desk:
        await desk.take_in(message(1, " "), message(2, "to us", mentions_us=True), message(1, " "))
        assert await desk.kept() == ["to us"]
        said = [(each.turn, each.reply_to) for each in await desk.said()]
        assert said == ([] if require_mention else [("refused 1", "1")])
        assert await desk.store.gaps.cursor(CHANNEL) == "2"


async def test_edits_and_deletions_reach_what_waits_and_a_channel_that_goes_ends(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        edit = MessageEdited(message_id="1", place=PLACE, content="better")
        gone = MessagesDeleted(channel_id=CHANNEL, message_ids=("2",))
        await desk.take_in(message(1), message(2), message(3), edit, gone)
        assert await desk.kept() == ["better", "message 3"]
        pieces = sentence("t1", CHANNEL, "one") + sentence("t2", CHANNEL, "two")
        await desk.store.outbox.say("uid", pieces)
        seen = OwnMessage(message_id="5", channel_id=CHANNEL, nonce=pieces[0].nonce)
        await desk.take_in(message(4), seen, seen, ChannelGone(CHANNEL))
        ends = [("settled", "uid"), ("settled", "uid"), ("gone", CHANNEL)]
        assert desk.around.told[-3:] == ends
        found = await desk.store.inbox.find("4")
        assert found is not None
        assert found.state not in {InboxState.READY, InboxState.HELD}


async def test_what_comes_while_too_much_waits_is_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "WAITING", 3)
    async with a_desk(tmp_path) as desk:
        await desk.take_in(*(message(number) for number in range(1, 6)))
        assert desk.around.told[:2] == [("overflowed", CHANNEL)] * 2
        assert await desk.kept() == ["message 1", "message 2", "message 3"]
