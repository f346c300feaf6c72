"""Threads in the imitation of Discord: opened, archived, locked, left and found again."""

from __future__ import annotations

from collections.abc import AsyncIterator

import discord
import pytest

from tests.fakes.discord import (
    Channel,
    Discord,
    Forbidden,
    MessageType,
    Permission,
    Person,
    RunningClock,
)
from tests.fakes.discord.client import Bot, running
from tests.fakes.discord.raw import RawRest


@pytest.fixture
def channel(fake: Discord) -> Channel:
    return fake.add_channel(fake.add_guild("acme"), "api")


@pytest.fixture
def alice(fake: Discord, channel: Channel) -> Person:
    return fake.add_person(channel.guild, "alice")


@pytest.fixture
async def bot(fake: Discord, channel: Channel, alice: Person) -> AsyncIterator[Bot]:
    async with running(Bot(fake), fake) as client:
        yield client
    assert fake.failures == []


async def test_a_thread_of_a_message_has_its_id_and_begins_with_it(
    fake: Discord, channel: Channel, alice: Person, bot: Bot
) -> None:
    question = alice.say(channel, "a question")
    heard = (await fake.until(lambda: bot.told("message")))[0]
    thread = await heard.create_thread(name="the thread", auto_archive_duration=60)
    assert (thread.id, thread.parent_id, thread.owner_id) == (
        question.id,
        channel.id,
        fake.bot.id,
    )
    await thread.send("an answer")
    opened = fake.threads(channel)[0]
    assert [(item.type, item.content) for item in fake.seen(opened)] == [
        (MessageType.THREAD_STARTER_MESSAGE, ""),
        (MessageType.DEFAULT, "an answer"),
    ]
    assert [(item.content, item.has_thread) for item in fake.seen(channel)] == [
        ("a question", True)
    ]
    alice.say(opened, "thanks")
    await fake.until(lambda: bot.heard == ["a question", "thanks"])
    assert bot.told("message")[-1].channel == thread
    members = {item.id for item in await thread.fetch_members()}
    assert members == {fake.bot.id, alice.id}
    with pytest.raises(discord.HTTPException) as refused:
        await heard.create_thread(name="another")
    assert (refused.value.status, refused.value.code) == (400, 160004)


async def test_a_thread_of_no_message_is_announced_unless_it_is_private(
    fake: Discord, channel: Channel, bot: Bot
) -> None:
    place = bot.get_channel(channel.id)
    assert isinstance(place, discord.TextChannel)
    public = await place.create_thread(name="public", type=discord.ChannelType.public_thread)
    private = await place.create_thread(name="private")
    assert (public.is_private(), private.is_private()) == (False, True)
    assert [(item.type, item.content) for item in fake.seen(channel)] == [
        (MessageType.THREAD_CREATED, "public")
    ]


async def test_a_persons_thread_is_told_and_its_first_message_follows(
    fake: Discord, channel: Channel, alice: Person, bot: Bot
) -> None:
    thread = alice.open_thread(alice.say(channel, "a question"), "hers")
    alice.say(thread, "more")
    await fake.until(lambda: bot.heard[-1:] == ["more"])
    created = bot.told("thread_create")
    assert [(item.id, item.name) for item in created] == [(thread.id, "hers")]
    names = [name for name, _ in bot.events if name in ("thread_create", "message")]
    assert names == ["message", "thread_create", "message", "message"]
    await created[0].join()
    found = thread.thread
    assert found is not None
    assert set(found.members) == {alice.id, fake.bot.id}


async def test_an_archived_thread_refuses_edits_and_opens_with_a_message(
    fake: Discord, channel: Channel, alice: Person, bot: Bot
) -> None:
    thread = alice.open_thread(channel, "hers")
    place = await fake.until(lambda: bot.get_channel(thread.id))
    assert isinstance(place, discord.Thread)
    sent = await place.send("before")
    alice.archive(thread)
    await fake.until(lambda: bool(bot.told("thread_update") or bot.told("thread_remove")))
    codes = []
    for act in (sent.edit(content="after"), sent.add_reaction("👀"), place.join()):
        with pytest.raises(discord.HTTPException) as refused:
            await act
        codes.append(refused.value.code)
    assert codes == [50083, 50083, 50083]
    await place.send("it opens")
    assert thread.thread is not None
    assert not thread.thread.is_archived
    await sent.edit(content="after")


async def test_a_locked_thread_takes_messages_only_from_who_may_manage_it(
    fake: Discord, channel: Channel, alice: Person, bot: Bot
) -> None:
    thread = alice.open_thread(channel, "hers")
    place = await fake.until(lambda: bot.get_channel(thread.id))
    assert isinstance(place, discord.Thread)
    fake.owner_of(channel.guild).lock(thread)
    with pytest.raises(Forbidden):
        alice.say(thread, "hello")
    with pytest.raises(discord.HTTPException) as refused:
        await place.send("hello")
    assert refused.value.code == 50083
    fake.world.update_thread(thread, is_archived=False)
    with pytest.raises(discord.HTTPException) as locked:
        await place.send("hello")
    assert locked.value.code == 160005
    fake.overwrite(channel, fake.bot, allow=Permission.MANAGE_THREADS)
    await place.send("hello")
    assert fake.seen(thread)[-1].content == "hello"


async def test_the_bot_archives_its_threads_and_finds_them_by_page(
    fake: Discord, channel: Channel, bot: Bot, clock: RunningClock
) -> None:
    place = bot.get_channel(channel.id)
    assert isinstance(place, discord.TextChannel)
    kind = discord.ChannelType.public_thread
    threads = [await place.create_thread(name=str(number), type=kind) for number in range(5)]
    for thread in threads[:4]:
        await thread.edit(archived=True)
        clock.advance(1)
    guild = bot.get_guild(channel.guild.id)
    assert guild is not None
    assert [item.name for item in await guild.active_threads()] == ["4"]
    found = [item.name async for item in place.archived_threads(limit=3)]
    assert found == ["3", "2", "1"]
    everything = [item.name async for item in place.archived_threads(limit=None)]
    assert everything == ["3", "2", "1", "0"]
    await threads[0].edit(archived=False, name="renamed")
    assert {item.name for item in await guild.active_threads()} == {"4", "renamed"}


async def test_idle_threads_are_archived_when_their_time_is_over(
    fake: Discord, channel: Channel, alice: Person, clock: RunningClock
) -> None:
    old = alice.open_thread(channel, "old")
    clock.advance(23 * 3600)
    new = alice.open_thread(channel, "new")
    clock.advance(2 * 3600)
    assert fake.archive_idle_threads() == [old]
    assert new.thread is not None
    assert not new.thread.is_archived


async def test_what_threads_refuse(
    fake: Discord, channel: Channel, alice: Person, rest: RawRest
) -> None:
    thread = alice.open_thread(channel, "hers")
    path = f"/channels/{channel.id}/threads"
    bodies: dict[str, dict[str, object]] = {
        "name": {"type": 11},
        "auto_archive_duration": {"type": 11, "name": "x", "auto_archive_duration": 5},
        "type": {"type": 3, "name": "x"},
    }
    for field, body in bodies.items():
        answer = await rest("POST", path, body)
        assert (answer.code, list(answer.body["errors"])) == (50035, [field])
    fake.overwrite(channel, fake.bot, deny=Permission.CREATE_PUBLIC_THREADS)
    assert (await rest("POST", path, {"type": 11, "name": "x"})).code == 50013
    renamed = await rest("PATCH", f"/channels/{thread.id}", {"name": "mine"})
    assert (renamed.code, thread.name) == (50013, "hers")
    assert (await rest("PUT", f"/channels/{channel.id}/thread-members/@me")).code == 50024


async def test_a_deleted_channel_takes_its_threads_along(
    fake: Discord, channel: Channel, alice: Person, bot: Bot
) -> None:
    thread = alice.open_thread(channel, "hers")
    place = await fake.until(lambda: bot.get_channel(thread.id))
    assert isinstance(place, discord.Thread)
    fake.delete_channel(channel)
    await fake.until(lambda: bool(bot.told("guild_channel_delete")))
    with pytest.raises(discord.NotFound) as refused:
        await place.send("hello")
    assert refused.value.code == 10003
    other = fake.add_channel(channel.guild, "other")
    doomed = alice.open_thread(other, "doomed")
    await fake.until(lambda: bot.get_channel(doomed.id))
    fake.delete_channel(doomed)
    await fake.until(lambda: len(bot.told("thread_delete")) == 2)
    assert [item.id for item in bot.told("thread_delete")] == [thread.id, doomed.id]


async def test_a_private_thread_is_told_to_whom_it_takes_in(
    fake: Discord, channel: Channel, alice: Person, bot: Bot, rest: RawRest
) -> None:
    opened = await rest("POST", f"/channels/{channel.id}/threads", {"type": 12, "name": "private"})
    thread = fake.threads(channel)[0]
    assert (opened.status, fake.seen(thread, by=alice)) == (201, [])
    added = await rest("PUT", f"/channels/{thread.id}/thread-members/{alice.id}")
    assert added.status == 204
    alice.say(thread, "thanks")
    await fake.until(lambda: bot.heard == ["thanks"])
    assert [item.id for item in bot.told("thread_member_join")] == [alice.id]
    gone = await rest("DELETE", f"/channels/{thread.id}/thread-members/@me")
    assert gone.status == 204
    await fake.until(lambda: [item.id for item in bot.told("thread_remove")] == [thread.id])
    alice.say(thread, "unheard")
    with pytest.raises(Forbidden):
        fake.add_person(channel.guild, "bob").say(thread, "hello")
    alice.say(channel, "heard")
    await fake.until(lambda: bot.heard == ["thanks", "heard"])
    fake.world.join_thread(thread, fake.bot.id)
    await fake.until(lambda: [item.id for item in bot.told("thread_join")] == [thread.id])


async def test_without_the_members_intent_only_own_memberships_are_told(
    fake: Discord, channel: Channel, alice: Person
) -> None:
    intents = discord.Intents(guilds=True, guild_messages=True)
    thread = alice.open_thread(channel, "hers")
    bob = fake.add_person(channel.guild, "bob")
    async with running(Bot(fake, intents=intents), fake) as bot:
        bob.say(thread, "hello")
        place = await fake.until(lambda: bot.get_channel(thread.id))
        assert isinstance(place, discord.Thread)
        await place.join()
        await fake.until(lambda: bool(bot.told("thread_join")))
        assert bot.told("thread_member_join") == []
