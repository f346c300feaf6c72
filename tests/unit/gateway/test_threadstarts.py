"""A message that somebody marks begins a thread: one, whose only first prompt it is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from repobridge.crd_access import Bucket, Limits, Rate
from repobridge_gateway.access import Access, Members, Permission, Rule
from repobridge_gateway.authority import Authority, Policy
from repobridge_gateway.channels import Served, conversation_of
from repobridge_gateway.chat import ChatEvent, ChatMessage, MessageEdited, MessagesDeleted, Reaction
from repobridge_gateway.inbox import MOVED, InboxState, Wish
from repobridge_gateway.pauses import Pauses
from repobridge_gateway.starters import starter_id
from repobridge_gateway.store.sqlite import SqliteStore
from repobridge_gateway.threadstarts import THREAD, ThreadStarts
from repobridge_gateway.throttle import Throttle
from tests.fakes.discord import (
    GENEROUS,
    ActThenHold,
    Channel,
    Discord,
    Gate,
    Guild,
    Message,
    Person,
    Reset,
)
from tests.fakes.discord import (
    Permission as May,
)
from tests.unit.gateway.bots import Heard, heard
from tests.unit.gateway.bridges import HandBridge
from tests.unit.gateway.catching import a_store

_START = "POST /channels/{channel_id}/messages/{message_id}/threads"


@dataclass
class Team:
    """A served channel, and who is there; bob may not ask."""

    discord: Discord
    guild: Guild
    channel: Channel
    ann: Person
    bob: Person
    served: Served
    store: SqliteStore

    def mark(self, *people: Person, on: Message, emoji: str = THREAD) -> None:
        for person in people:
            person.react(on, emoji)

    async def prompts(self, conversation: str) -> list[tuple[str, str]]:
        """What is handed over to a conversation, and in whose name."""
        due = await self.store.inbox.next_for(self.served.uid)
        return [
            (each.kept.message.content, each.kept.message.asker.display_name)
            for each in due
            if each.kept.conversation == conversation
        ]

    async def stands(self, message_id: int | str) -> InboxState | None:
        kept = await self.store.inbox.find(str(message_id))
        return kept.state if kept is not None else None

    def opened(self) -> list[str]:
        """The threads of the channel, as our bot asked for them."""
        mine = (each for each in self.discord.threads(self.channel) if each.thread is not None)
        return [each.name for each in mine if each.thread and each.thread.owner_id == self.me]

    @property
    def me(self) -> int:
        return self.discord.bot.id

    def asked(self) -> int:
        """How often Discord was asked for a thread."""
        return sum(each.route == _START for each in self.discord.requests)


@dataclass
class Serving:
    """A gateway as far as it opens threads; what the bot hears is taken in, in its order."""

    team: Team
    bot: Heard
    starts: ThreadStarts
    worked: list[str]
    taken_in: int = 0
    _queue: asyncio.Queue[ChatEvent] = field(default_factory=asyncio.Queue)

    async def take_in(self) -> None:
        inbox, served = self.team.store.inbox, self.team.served
        while True:
            match event := await self._queue.get():
                case Reaction():
                    await self.starts.ask(event, served)
                case ChatMessage(place=place, author=author):
                    if served.access.at(place.guild_id).may(author, Permission.PROMPT):
                        conversation = conversation_of(served, place)
                        await inbox.receive(event, bridge=served.uid, conversation=conversation)
                case MessageEdited():
                    await inbox.edit(event)
                case MessagesDeleted(channel_id=channel_id, message_ids=message_ids):
                    await inbox.delete(channel_id, message_ids)
            self.taken_in += 1
            self.bot.discord.changes.note()

    def hear(self, event: ChatEvent) -> None:
        self._queue.put_nowait(event)

    async def all_taken_in(self, kind: type[ChatEvent], *, number: int = 1) -> None:
        """Waits for the n-th event of a kind, and until all is taken in that was heard."""
        await self.bot.next(kind, number=number)
        await self.team.discord.until(lambda: self.taken_in == len(self.bot.events) - self.before)

    before: int = 0
    """Events that came before anybody took them in."""


@contextlib.asynccontextmanager
async def serving(team: Team, *, burst: int = 1000) -> AsyncIterator[Serving]:
    every = Limits(rate=Rate(user=Bucket(per_second=0.001, burst=burst)))
    async with heard(team.discord) as bot:
        worked: list[str] = []
        starts = ThreadStarts(
            team.store,
            bot.rest,
            Members(bot.rest, clock=team.discord.clock.wall),
            work=worked.append,
            said=lambda: None,
            throttle=Throttle(lambda: team.store.ledger, authority=Authority(Policy(limits=every))),
            pauses=Pauses(first_seconds=0.01),
        )
        made = Serving(team, bot, starts, worked, before=len(bot.events))
        bot.listeners.append(made.hear)
        async with asyncio.TaskGroup() as tasks:  # what fails ends the test at once
            running = [tasks.create_task(each) for each in (starts.run(), made.take_in())]
            yield made
            for task in running:
                task.cancel()


@pytest.fixture
async def team(tmp_path: Path) -> AsyncIterator[Team]:
    async with Discord(limits=GENEROUS) as discord, a_store(discord, tmp_path / "s") as store:
        guild = discord.add_guild("acme")
        role = discord.add_role(guild, "developers")
        channel = discord.add_channel(guild, "payments")
        rule = Rule(role_id=str(role.id), permissions=frozenset({Permission.PROMPT}))
        served = Served(
            uid="uid",
            bridge=HandBridge(wanted=lambda: None),
            channel_id=str(channel.id),
            created_at=0.0,
            access=Access(rules=(rule,)),
        )
        ann, bob = discord.add_person(guild, "ann", role), discord.add_person(guild, "bob")
        yield Team(discord, guild, channel, ann, bob, served, store)
        assert discord.failures == []


async def _until_handed_on(team: Team, serves: Serving, *, number: int = 1) -> None:
    await team.discord.until(lambda: len(serves.worked) >= number)


async def test_marks_by_several_make_one_thread_with_the_message_as_its_only_prompt(
    team: Team,
) -> None:
    eve = team.discord.add_person(team.guild, "eve", team.guild.roles[team.ann.member.role_ids[0]])
    async with serving(team) as serves:
        asked = team.bob.say(team.channel, "The build is red\nsince Monday")
        await serves.all_taken_in(ChatMessage)
        assert await team.stands(asked.id) is None  # bob may not ask
        team.mark(team.ann, eve, team.bob, on=asked)
        team.discord.world.unreact(asked, team.ann.id, THREAD)
        team.mark(team.ann, on=asked)
        await serves.all_taken_in(Reaction, number=4)
        await _until_handed_on(team, serves)
        assert team.opened() == ["The build is red"]
        assert team.asked() == 1
        prompts = await team.prompts(str(asked.id))
        assert prompts == [("The build is red\nsince Monday", "Ann")]
        (thread,) = team.discord.threads(team.channel)
        await team.discord.until(lambda: thread.thread and team.ann.id in thread.thread.members)
        assert await team.store.inbox.unmarked(10) == [(str(team.channel.id), str(asked.id))]
        await team.store.inbox.marked([str(asked.id)])
        assert await team.store.inbox.unmarked(10) == []


async def test_a_mark_beyond_a_limit_makes_no_thread_and_one_is_told_so_once(team: Team) -> None:
    async with serving(team, burst=1) as serves:
        asked = [team.bob.say(team.channel, text) for text in ("one", "two", "three")]
        for each in asked:
            team.mark(team.ann, on=each)
        await serves.all_taken_in(Reaction, number=3)
        await _until_handed_on(team, serves)
        assert team.opened() == ["one"]
        (due,) = await team.store.outbox.due()
        said = await team.store.outbox.sending(due.send_id)
        assert said is not None
        assert said.piece.reply_to == str(asked[1].id)
        assert f"<@{team.ann.id}>: That came too soon" in said.piece.payload


async def test_marks_that_mean_nothing_do_nothing(team: Team) -> None:
    robot = team.discord.add_person(
        team.guild, "robot", team.guild.roles[team.ann.member.role_ids[0]], is_bot=True
    )
    async with serving(team) as serves:
        thread = team.ann.open_thread(team.channel, "a thread")
        plain = team.ann.say(team.channel, "plain")
        team.mark(team.bob, robot, on=plain)  # one may not, the other is nobody
        team.mark(team.ann, on=plain, emoji="👍")
        team.mark(team.ann, on=team.ann.say(thread, "within"))
        team.mark(team.ann, on=team.ann.say(team.channel, "/status"))
        team.mark(team.ann, on=robot.say(team.channel, "beep"))
        hook = team.discord.add_webhook(team.channel, "ann")
        team.mark(team.ann, on=hook.say("I look like ann"))
        await serves.all_taken_in(Reaction, number=6)
        assert await team.store.openings.waiting() == []
        assert (team.asked(), serves.worked) == (0, [])


async def test_a_crash_or_a_lost_answer_while_a_thread_is_opened_makes_no_second_one(
    team: Team,
) -> None:
    gate = Gate()
    team.discord.faults.on(_START, ActThenHold(gate))
    async with serving(team) as serves:
        asked = team.bob.say(team.channel, "Fix it")
        team.mark(team.ann, on=asked)
        await gate.reached()
        await serves.all_taken_in(Reaction)
        assert await team.prompts(str(asked.id)) == []  # it waits for its thread
    async with serving(team) as serves:
        await _until_handed_on(team, serves)
        other = team.ann.say(team.channel, "And that")
        team.discord.faults.on(_START, Reset(acts=True))
        team.mark(team.ann, on=other)
        await _until_handed_on(team, serves, number=2)
        team.mark(team.bob, on=asked)
    assert sorted(team.opened()) == ["And that", "Fix it"]
    assert await team.prompts(str(asked.id)) == [("Fix it", "Ann")]
    assert await team.prompts(str(other.id)) == [("And that", "Ann")]
    assert await team.prompts("main") == []
    assert await team.stands(other.id) is InboxState.WITHDRAWN


async def test_without_the_permission_the_message_stays_in_the_channel_and_somebody_hears_why(
    team: Team,
) -> None:
    bot = team.discord.bot
    team.discord.overwrite(team.channel, bot, deny=May.CREATE_PUBLIC_THREADS)
    async with serving(team) as serves:
        asked = team.ann.say(team.channel, "Fix it")
        team.mark(team.ann, on=asked)
        await serves.all_taken_in(Reaction)
        await team.discord.until(lambda: team.asked() == 1)
        async with asyncio.timeout(60):
            while not (due := await team.store.outbox.due()):
                await asyncio.sleep(0)
        said = await team.store.outbox.sending(due[0].send_id)
        assert said is not None
        assert "needs Create Public Threads here" in said.piece.payload
        assert (said.piece.reply_to, said.piece.channel_id) == (str(asked.id), str(team.channel.id))
        assert await team.stands(starter_id(str(asked.id))) is None
        assert await team.prompts("main") == [("Fix it", "Ann")]

        team.discord.overwrite(team.channel, bot, allow=May.CREATE_PUBLIC_THREADS)
        team.discord.world.unreact(asked, team.ann.id, THREAD)
        team.mark(team.ann, on=asked)
        await _until_handed_on(team, serves)
        assert await team.prompts(str(asked.id)) == [("Fix it", "Ann")]


async def test_what_the_channel_has_not_begun_is_taken_back_there_and_the_rest_stays(
    team: Team,
) -> None:
    async with serving(team) as serves:
        over, taken, waits = (team.ann.say(team.channel, text) for text in ("over", "taken", "w"))
        await serves.all_taken_in(ChatMessage, number=3)
        assert await team.prompts("main") == [("over", "Ann")]
        await team.store.inbox.submitted(str(over.id), version=1)
        assert await team.prompts("main") == [("taken", "Ann")]
        for number, each in enumerate((over, taken, waits), start=1):
            team.mark(team.ann, on=each)
            await _until_handed_on(team, serves, number=number)
        found = [await team.store.inbox.find(str(each.id)) for each in (over, taken, waits)]
        assert [(kept.state, kept.wish, kept.reason) for kept in found if kept is not None] == [
            (InboxState.SUBMITTED, Wish.WITHDRAW, MOVED),
            (InboxState.READY, Wish.WITHDRAW, MOVED),
            (InboxState.WITHDRAWN, Wish.NONE, MOVED),
        ]
        for each in (over, taken, waits):
            assert await team.prompts(str(each.id)) == [(each.content, "Ann")]


async def test_an_edit_counts_only_of_ones_own_words_and_a_deletion_always(team: Team) -> None:
    async with serving(team) as serves:
        own, others = team.ann.say(team.channel, "own"), team.bob.say(team.channel, "harmless")
        gone = team.bob.say(team.channel, "gone")
        team.mark(team.ann, on=own)
        team.mark(team.ann, on=others)
        team.mark(team.ann, on=gone)
        await _until_handed_on(team, serves, number=3)
        team.ann.edit(own, "own, better")
        team.bob.edit(others, "rm -rf /")
        team.bob.delete(gone)
        await serves.all_taken_in(MessagesDeleted)
        assert await team.prompts(str(own.id)) == [("own, better", "Ann")]
        assert await team.prompts(str(others.id)) == [("harmless", "Ann")]
        assert await team.prompts(str(gone.id)) == []
