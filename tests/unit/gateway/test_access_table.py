"""Every act of people, by every permission alone, on every path: one table, and nothing beside it.

Roles are named in the rules, and found by the bot at its guild. Each person holds one permission,
nobody holds none, and who holds all is held up to by everybody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from repobridge.session import events as ev
from repobridge_gateway.access import Members, Permission, Rule
from repobridge_gateway.authority import Authority, Policy
from repobridge_gateway.channels import Served
from repobridge_gateway.chat import (
    ChatMessage,
    Interaction,
    InteractionKind,
    MessageEdited,
    MessagesDeleted,
    Place,
    Reaction,
    ThreadSeen,
)
from repobridge_gateway.inbox import InboxState
from repobridge_gateway.reception import Reception
from repobridge_gateway.requested import TURN
from repobridge_gateway.slashspec import make_commands
from repobridge_gateway.starters import starter_id
from repobridge_gateway.threadstarts import THREAD, ThreadStarts
from tests.fakes.discord import GENEROUS, Answer, Discord, Message, Person, SeenMessage
from tests.fakes.discord.interactions import Callback
from tests.unit.gateway.stage import Stage, staged

ALL, NONE = "everything", "nothing"
PROMPT, APPROVE, MANAGE = Permission.PROMPT, Permission.APPROVE, Permission.MANAGE
HELD: Mapping[str, frozenset[Permission]] = {
    NONE: frozenset(),
    **{each.value: frozenset({each}) for each in Permission},
    ALL: frozenset(Permission),
}


class Hall:
    """The parts that hear of people, told of each other as the gateway does."""

    def __init__(self, stage: Stage, people: Mapping[str, Person]) -> None:
        self.stage = stage
        self.people = people
        members = Members(stage.bot.rest, clock=stage.discord.clock.wall)
        self.starts = ThreadStarts(
            stage.store, stage.bot.rest, members, work=self.work, said=stage.sender.look
        )
        self.reception = Reception(
            store=stage.store,
            channels=stage.channels,
            places=stage.bot.rest,
            members=members,
            hearers=self,
        )
        self.number = 0

    def connected(self, *, resumed: bool) -> None:
        """There is one connection."""

    def overflowed(self, channel_id: str) -> None:
        """Nothing is lost."""
        raise AssertionError(channel_id)

    async def hold(self, place: Place) -> None:
        """Nothing was missed."""

    def edited(self, channel_id: str) -> None:
        """No history is read."""

    def work(self, uid: str) -> None:
        """A bridge has something to do."""
        self.stage.woken.append(uid)

    def said(self) -> None:
        """There are sentences to send."""
        self.stage.sender.look()

    def settled(self, uid: str) -> None:
        """A piece has arrived."""
        self.stage.sender.look()

    def interaction(self, interaction: Interaction) -> None:
        """A click or a command."""
        is_form = interaction.kind in {InteractionKind.COMPONENT, InteractionKind.MODAL}
        part = self.stage.decisions if is_form else self.stage.slash
        part.interaction(interaction)

    def text_command(self, message: ChatMessage, served: Served) -> None:
        """A command as text."""
        self.stage.slash.text_command(message, served)

    def channel_gone(self, channel_id: str) -> None:
        """Channels stay."""

    async def reacted(self, reaction: Reaction, served: Served) -> None:
        """A mark."""
        await self.starts.ask(reaction, served)

    def thread_seen(self, thread: ThreadSeen) -> None:
        """A thread is there."""

    # ------------------------------------------------------------- waiting

    async def taken_in(self, is_it: Callable[[object], bool]) -> None:
        """Waits until what Discord tells is heard, and all that was heard is worked on."""
        await self.stage.discord.until(lambda: any(map(is_it, self.stage.bot.events)))
        async with asyncio.timeout(90):
            while self.reception.waiting:
                await asyncio.sleep(0.002)

    async def taken(self, said: Message) -> ChatMessage | None:
        """A message as it is kept, once that is decided."""
        await self.taken_in(
            lambda each: isinstance(each, ChatMessage) and each.message_id == str(said.id)
        )
        kept = await self.stage.store.inbox.find(str(said.id))
        return kept.message if kept is not None else None

    async def decided(self, answer: Answer) -> bool:
        """Whether a click counts: it is kept, or its person reads something else than a no."""
        clicks = self.stage.store.clicks

        async def is_kept() -> bool:
            undecided = await clicks.undecided()
            return any(each.interaction_id == str(answer.interaction.id) for each, _ in undecided)

        return await self.counts(answer, is_kept)

    async def counts(self, answer: Answer, is_done: Callable[[], Awaitable[bool]]) -> bool:
        """Whether it is done what was clicked, or its person reads something else than a no."""
        async with asyncio.timeout(90):
            while not (told := _told(answer)):
                if await is_done():
                    return True
                await asyncio.sleep(0.005)
        return not told.startswith("You may not ")

    async def requested(self) -> SeenMessage:
        """The message of a fresh request."""
        self.number += 1
        rules = tuple(
            ev.Suggestion(scope.value, "Bash(make:*)", scope)
            for scope in (ev.Scope.SESSION, ev.Scope.ALWAYS)
        )
        command, sha = f'{{"command": "make {self.number}"}}', f"sha{self.number}"
        request = ev.ApprovalRequested(
            f"r{self.number}", ev.RequestKind.TOOL, "Bash", command, "", sha, rules
        )
        return await self.with_buttons(self.stage.ask(request))

    async def with_buttons(self, delivering: Awaitable[object]) -> SeenMessage:
        """The message with buttons that is delivered, among what else is said meanwhile."""
        channel = self.stage.channel
        before = {each.id for each in self.stage.discord.seen(channel)}
        await delivering
        return await self.stage.discord.until_seen(
            channel, lambda each: each.id not in before and bool(each.buttons)
        )

    async def reply(self, said: Message) -> str:
        """What is answered to a message."""
        shown = await self.stage.discord.until_seen(
            said.channel, lambda each: each.reply_to == said.id
        )
        return shown.content


def _told(answer: Answer) -> str:
    """What a click is answered with in words."""
    if answer.kind is Callback.MESSAGE:
        return answer.text
    return "".join(each.content for each in answer.follow_ups)


Act = Callable[[Hall, Person], Awaitable[bool]]


def says(text: str, *, is_in_thread: bool = False, files: bool = False) -> Act:
    async def act(hall: Hall, person: Person) -> bool:
        where = hall.stage.channel
        if is_in_thread:
            where = hall.people[ALL].open_thread(where, "a thread")
        message = person.say(where, text, files={"a.txt": b"a"} if files else None)
        return await hall.taken(message) is not None

    return act


async def edits(hall: Hall, person: Person) -> bool:
    message = person.say(hall.stage.channel, "before")
    await hall.taken(message)
    person.edit(message, "after")
    await hall.taken_in(
        lambda each: isinstance(each, MessageEdited) and each.message_id == str(message.id)
    )
    kept = await hall.stage.store.inbox.find(str(message.id))
    return kept is not None and kept.message.content == "after"


async def deletes(hall: Hall, person: Person) -> bool:
    message = person.say(hall.stage.channel, "a mistake")
    await hall.taken(message)
    person.delete(message)
    await hall.taken_in(
        lambda each: isinstance(each, MessagesDeleted) and str(message.id) in each.message_ids
    )
    kept = await hall.stage.store.inbox.find(str(message.id))
    return kept is not None and kept.state is InboxState.WITHDRAWN


async def marks(hall: Hall, person: Person) -> bool:
    message = hall.people[ALL].say(hall.stage.channel, "worth a thread")
    await hall.taken(message)
    person.react(message, THREAD)
    await hall.taken_in(
        lambda each: isinstance(each, Reaction) and each.message_id == str(message.id)
    )
    return await hall.stage.store.inbox.find(starter_id(str(message.id))) is not None


def clicks(label: str) -> Act:
    async def act(hall: Hall, person: Person) -> bool:
        answer = await person.click(await hall.requested(), label)
        return answer.kind is Callback.MODAL or await hall.decided(answer)

    return act


async def submits(hall: Hall, person: Person) -> bool:
    """A form that was open before its person's roles were taken away."""
    asked, own = await hall.requested(), person.member.role_ids
    person.member.role_ids = hall.people[ALL].member.role_ids
    opened = await person.click(asked, "Deny…")
    person.member.role_ids = own
    assert opened.modal is not None
    (field,) = opened.modal.inputs
    return await hall.decided(await person.submit(opened, {field.custom_id: "no"}))


async def goes_on(hall: Hall, person: Person) -> bool:
    asked = hall.people[ALL].say(hall.stage.channel, "do it")
    lost = await hall.with_buttons(hall.stage.lose_turn(asked))
    if person is hall.people[ALL]:
        return True  # it is their own

    async def is_run() -> bool:
        return await hall.stage.store.inbox.find(str(lost.id)) is not None

    return await hall.counts(await person.click(lost, "Continue"), is_run)


def commands(name: str, **options: str) -> Act:
    async def act(hall: Hall, person: Person) -> bool:
        answer = await person.command(hall.stage.channel, name, **options)
        assert answer.kind is Callback.DEFERRED_MESSAGE or answer.text.startswith("You may not ")
        return answer.kind is Callback.DEFERRED_MESSAGE

    return act


async def cancels_anothers(hall: Hall, person: Person) -> bool:
    rows = await hall.stage.store.clicks.open_requests(hall.stage.served.uid)
    if all(row.kind != TURN for row in rows):
        await hall.stage.open_turn(hall.people[ALL].say(hall.stage.channel, "do it"))
    return await commands("cancel")(hall, person)


def completes(name: str, option: str) -> Act:
    async def act(hall: Hall, person: Person) -> bool:
        answer = await person.autocomplete(hall.stage.channel, name, option, "")
        return bool(answer.choices)

    return act


def writes(command: str) -> Act:
    async def act(hall: Hall, person: Person) -> bool:
        message = person.say(hall.stage.channel, command)
        return not (await hall.reply(message)).startswith("You may not ")

    return act


TABLE: Mapping[str, tuple[Act, frozenset[Permission]]] = {
    "message": (says("hello"), frozenset({PROMPT})),
    "message in a thread": (says("hello", is_in_thread=True), frozenset({PROMPT})),
    "attachment": (says("", files=True), frozenset({PROMPT})),
    "edit": (edits, frozenset({PROMPT})),
    "deletion": (deletes, frozenset({PROMPT})),
    "reaction": (marks, frozenset({PROMPT})),
    "::compact": (says("::compact"), frozenset({PROMPT})),
    "::clear": (says("::clear"), frozenset({PROMPT, MANAGE})),
    "::model": (says("::model opus"), frozenset({PROMPT, MANAGE})),
    "button, once": (clicks("Allow once"), frozenset({APPROVE})),
    "button, always": (clicks("Always"), frozenset({MANAGE})),
    "button of a form": (clicks("Deny…"), frozenset({APPROVE})),
    "form": (submits, frozenset({APPROVE})),
    "button, another's lost turn": (goes_on, frozenset({PROMPT, MANAGE})),
    "/status": (commands("status"), frozenset({PROMPT})),
    "/cancel": (commands("cancel"), frozenset({PROMPT})),
    "/interrupt": (commands("interrupt"), frozenset({PROMPT})),
    "/restart": (commands("restart"), frozenset({MANAGE})),
    "/clear": (commands("clear"), frozenset({MANAGE})),
    "/new": (commands("new"), frozenset({PROMPT})),
    "/fork": (commands("fork"), frozenset({PROMPT})),
    "/sessions": (commands("sessions"), frozenset({PROMPT})),
    "/sleep": (commands("sleep"), frozenset({MANAGE})),
    "/diff": (commands("diff"), frozenset({PROMPT})),
    "/attach": (commands("attach"), frozenset({PROMPT})),
    "/model": (commands("model", model="opus"), frozenset({MANAGE})),
    "/mode": (commands("mode", mode="plan"), frozenset({MANAGE})),
    "/reload": (commands("reload"), frozenset({Permission.RELOAD_CONFIG})),
    "/help": (commands("help"), frozenset({PROMPT})),
    "completed session": (completes("diff", "session"), frozenset({PROMPT})),
    "completed model": (completes("model", "model"), frozenset({MANAGE})),
    "/status as text": (writes("/status"), frozenset({PROMPT})),
    "/restart as text": (writes("/restart"), frozenset({MANAGE})),
    "/list-repos as text": (writes("/list-repos"), frozenset({PROMPT})),
    "/cancel of another's": (cancels_anothers, frozenset({MANAGE})),
}
"""What each act takes; the last one leaves a turn open."""


@asynccontextmanager
async def opened(directory: Path, discord: Discord) -> AsyncIterator[Hall]:
    async with staged(directory, discord) as stage:
        roles = {name: discord.add_role(stage.guild, f"Role of {name}") for name in HELD}
        people = {
            name: discord.add_person(stage.guild, f"holder-of-{name.replace('_', '-')}", role)
            for name, role in roles.items()
        }
        rules = tuple(
            Rule(role_name=roles[name].name, permissions=held, models=frozenset({"*"}))
            for name, held in HELD.items()
        )
        stage.bot.listeners.remove(stage.hear)
        authority = Authority(Policy(rules=rules), roles_of=stage.bot.bot.roles)
        served = replace(stage.served, access=authority.of(()))
        stage.channels.served.set({served.channel_id: served})
        hall = Hall(stage, people)
        await stage.bot.rest.register(str(stage.guild.id), make_commands())
        known = stage.bot.bot.roles
        names = {role.name for role in roles.values()}
        await discord.until(lambda: names <= set((known(str(stage.guild.id)) or {}).values()))
        stage.bot.listeners.append(hall.reception.hear)
        for work in (hall.reception.run(), hall.starts.run()):
            stage.begin(asyncio.create_task(work))
        yield hall


async def test_each_act_is_for_whom_it_is_for_and_for_others_nothing_is_done(
    tmp_path: Path,
) -> None:
    async with Discord(limits=GENEROUS) as discord, opened(tmp_path, discord) as hall:
        stage = hall.stage
        passer_by, done = hall.people[NONE], list[str]()
        for act, (tries, _) in TABLE.items():
            if tries is not cancels_anothers and await tries(hall, passer_by):
                done.append(act)
        waiting = await stage.store.inbox.next_for(stage.served.uid)
        asking = {each.kept.message.asker.user_id for each in waiting}
        assert (done, asking) == ([], {str(hall.people[ALL].id)})
        assert (stage.bridge.woken, stage.operations.slept) == (0, [])
        found = {
            act: [name for name, person in hall.people.items() if await tries(hall, person)]
            for act, (tries, _) in TABLE.items()
        }
        assert found == {
            act: [name for name, held in HELD.items() if needed <= held]
            for act, (_, needed) in TABLE.items()
        }
        assert discord.failures == []


async def test_what_another_guild_has_is_nobodys_business(tmp_path: Path) -> None:
    async with Discord(limits=GENEROUS) as discord, opened(tmp_path, discord) as hall:
        stage = hall.stage
        elsewhere = discord.add_channel(discord.add_guild("rivals"), "secrets")
        (served,) = stage.channels.served.value.values()
        theirs = replace(served, uid="theirs", channel_id=str(elsewhere.id))
        stage.channels.served.set({each.channel_id: each for each in (served, theirs)})
        bot, guild_id = stage.bot.bot, str(elsewhere.guild.id)
        await discord.until(lambda: bot.guild_of(theirs.channel_id) == guild_id)
        asked = hall.people[ALL].say(stage.channel, "/list-repos")
        told = await hall.reply(asked)
        assert told == f"Repositories:\n- payments · <#{served.channel_id}> · asleep"
        assert (bot.roles("1"), bot.roles("acme"), bot.guild_of("1")) == (None, None, "")
        assert discord.failures == []


def test_the_table_has_a_row_for_each_command() -> None:
    assert {f"/{each['name']}" for each in make_commands()} <= set(TABLE)
