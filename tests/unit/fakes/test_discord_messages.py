"""Messages in the imitation of Discord: written, answered, edited, read again, with their files."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator

import aiohttp
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
    SeenFile,
    SeenMessage,
)
from tests.fakes.discord.client import Bot, running
from tests.fakes.discord.raw import RawRest
from tests.fakes.discord.snowflakes import time_of


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


def text_channel(bot: Bot, channel: Channel) -> discord.TextChannel:
    found = bot.get_channel(channel.id)
    assert isinstance(found, discord.TextChannel)
    return found


async def test_an_answer_is_seen_with_files_buttons_and_what_it_answers(
    fake: Discord, channel: Channel, alice: Person, bot: Bot
) -> None:
    question = alice.say(channel, "  a question  ", files={"shot 1.png": b"png"})
    await fake.until(lambda: bot.heard == ["a question"])
    heard: discord.Message = bot.told("message")[0]
    assert isinstance(heard.author, discord.Member)
    assert await heard.attachments[0].read() == b"png"
    view = discord.ui.View(timeout=None)
    view.add_item(discord.ui.Button(label="Yes", custom_id="rb1:yes"))
    view.add_item(discord.ui.Button(label="Docs", url="https://example.org"))
    files = [discord.File(io.BytesIO(b"+ a"), "change.diff", description="the change")]
    sent = await heard.reply(
        "an answer",
        files=files,
        view=view,
        embed=discord.Embed(title="a title"),
        mention_author=False,
        nonce="0123456789abcdef01234567",
    )
    shown = await fake.until_seen(channel, lambda message: message.content == "an answer")
    assert (shown.author, shown.content, shown.type) == (
        "repobridge",
        "an answer",
        MessageType.REPLY,
    )
    assert (shown.reply_to, shown.pings, shown.labels) == (question.id, (), ["Yes", "Docs"])
    assert shown.files == (SeenFile("change.diff", b"+ a", shown.files[0].content_type),)
    assert shown.embeds[0]["title"] == "a title"
    assert fake.seen(channel)[0].files == (SeenFile("shot_1.png", b"png", "image/png"),)
    own = await fake.until(lambda: [item for item in bot.told("message") if item.id == sent.id])
    assert own[0].nonce == "0123456789abcdef01234567"
    assert own[0].reference is not None
    assert own[0].reference.message_id == question.id


async def test_a_nonce_makes_a_repeated_send_the_first_message_for_some_minutes(
    fake: Discord, channel: Channel, bot: Bot, clock: RunningClock
) -> None:
    place = text_channel(bot, channel)
    first = await place.send("once", nonce="n1")
    again = await place.send("once", nonce="n1")
    other = await place.send("once", nonce="n2")
    assert first.id == again.id != other.id
    clock.advance(600)
    assert (await place.send("once", nonce="n1")).id not in (first.id, other.id)
    assert len(fake.seen(channel)) == 3
    assert [item.nonce async for item in place.history()] == [None, None, None]


async def test_edits_and_deletes_of_both_sides_are_told(
    fake: Discord, channel: Channel, alice: Person, bot: Bot
) -> None:
    message = alice.say(channel, "old")
    sent = await text_channel(bot, channel).send("old", file=discord.File(io.BytesIO(b"1"), "1"))
    await sent.edit(content="new", attachments=[discord.File(io.BytesIO(b"2"), "2.txt")])
    alice.edit(message, "new")
    await fake.until(lambda: len(bot.told("raw_message_edit")) == 2)
    told = [(item.message_id, item.data["content"]) for item in bot.told("raw_message_edit")]
    assert told == [(sent.id, "new"), (message.id, "new")]
    seen = fake.seen(channel)
    assert [(item.content, item.is_edited) for item in seen] == [("new", True), ("new", True)]
    assert [item.name for item in seen[1].files] == ["2.txt"]
    await sent.delete()
    alice.delete(message)
    await fake.until(lambda: len(bot.told("raw_message_delete")) == 2)
    assert fake.seen(channel) == []


async def test_many_messages_go_with_one_event(
    fake: Discord, channel: Channel, alice: Person, bot: Bot
) -> None:
    messages = [alice.say(channel, str(number)) for number in range(4)]
    await fake.until(lambda: len(bot.heard) == 4)
    with pytest.raises(Forbidden):
        alice.purge(channel, messages)
    fake.owner_of(channel.guild).purge(channel, messages[:2])
    await fake.until(lambda: bool(bot.told("raw_bulk_message_delete")))
    fake.overwrite(channel, fake.bot, allow=Permission.MANAGE_MESSAGES)
    await text_channel(bot, channel).delete_messages([discord.Object(m.id) for m in messages[2:]])
    await fake.until(lambda: len(bot.told("raw_bulk_message_delete")) == 2)
    told = [item.message_ids for item in bot.told("raw_bulk_message_delete")]
    assert told == [{message.id for message in part} for part in (messages[:2], messages[2:])]
    assert (fake.seen(channel), bot.told("raw_message_delete")) == ([], [])


async def test_an_unfurled_link_is_an_edit_of_nobody(
    fake: Discord, channel: Channel, alice: Person, bot: Bot
) -> None:
    message = alice.say(channel, "see https://example.org")
    fake.unfurl(message, {"type": "link", "url": "https://example.org", "title": "Example"})
    edits = await fake.until(lambda: bot.told("raw_message_edit"))
    assert (edits[0].message.edited_at, edits[0].message.embeds[0].title) == (None, "Example")


async def test_history_is_read_in_pages_from_either_side(
    fake: Discord, channel: Channel, alice: Person, bot: Bot, rest: RawRest
) -> None:
    messages = [alice.say(channel, str(number)) for number in range(230)]
    place = text_channel(bot, channel)
    after = discord.Object(messages[9].id)
    caught_up = [item.content async for item in place.history(limit=None, after=after)]
    assert caught_up == [str(number) for number in range(10, 230)]
    newest = [item.content async for item in place.history(limit=120)]
    assert newest == [str(number) for number in range(229, 109, -1)]
    before = discord.Object(messages[5].id)
    assert [item.content async for item in place.history(before=before)] == list("43210")
    around = [item.content async for item in place.history(limit=5, around=messages[50])]
    assert sorted(around) == ["48", "49", "50", "51", "52"]
    path = f"/channels/{channel.id}/messages"
    raw = await rest("GET", f"{path}?after={messages[0].id}&limit=3")
    assert [item["content"] for item in raw.body] == ["3", "2", "1"]
    assert [item["content"] for item in (await rest("GET", f"{path}?limit=2")).body] == [
        "229",
        "228",
    ]
    refused = await rest("GET", f"{path}?limit=101")
    assert (refused.code, refused.errors_at("limit")) == (50035, ["NUMBER_TYPE_MAX"])


async def test_reactions_of_both_sides(
    fake: Discord, channel: Channel, alice: Person, bot: Bot
) -> None:
    message = alice.say(channel, "hello")
    heard = (await fake.until(lambda: bot.told("message")))[0]
    await heard.add_reaction("👀")
    alice.react(message, "👀")
    alice.react(message, "🧵")
    await fake.until(lambda: len(bot.told("raw_reaction_add")) == 3)
    assert [item.user_id for item in bot.told("raw_reaction_add")] == [
        fake.bot.id,
        alice.id,
        alice.id,
    ]
    assert bot.told("raw_reaction_add")[1].member.name == "alice"
    fetched = await text_channel(bot, channel).fetch_message(message.id)
    assert [(str(item), item.count, item.me) for item in fetched.reactions] == [
        ("👀", 2, True),
        ("🧵", 1, False),
    ]
    assert {user.name async for user in fetched.reactions[0].users()} == {"repobridge", "alice"}
    assert bot.user is not None
    await heard.remove_reaction("👀", bot.user)
    alice.unreact(message, "🧵")
    await fake.until(lambda: len(bot.told("raw_reaction_remove")) == 2)
    assert fake.seen(channel)[0].reactions == {"👀": ("alice",)}


async def test_typing_shows(fake: Discord, channel: Channel, alice: Person, bot: Bot) -> None:
    alice.type(channel)
    async with text_channel(bot, channel).typing():
        await fake.until(lambda: len(bot.told("typing")) == 2)
    assert [args[1].name for name, args in bot.events if name == "typing"] == [
        "alice",
        "repobridge",
    ]


async def test_agents_text_pings_only_whom_allowed_mentions_names(
    fake: Discord, channel: Channel, alice: Person, bot: Bot
) -> None:
    role = fake.add_role(channel.guild, "ops", is_mentionable=True)
    everyone = channel.guild.roles[channel.guild.id]
    fake.set_permissions(everyone, channel.guild, everyone_may_ping(everyone.permissions))
    text = f"{alice.mention} <@&{role.id}> @everyone"
    place = text_channel(bot, channel)
    await place.send(text)
    await place.send(text, allowed_mentions=discord.AllowedMentions.none())
    only_alice = discord.AllowedMentions(users=[discord.Object(alice.id)], everyone=False)
    await place.send(text, allowed_mentions=discord.AllowedMentions.none().merge(only_alice))
    assert [item.pings for item in fake.seen(channel)] == [
        ("alice", "@ops", "@everyone"),
        (),
        ("alice",),
    ]


def everyone_may_ping(permissions: int) -> Permission:
    return Permission(permissions) | Permission.MENTION_EVERYONE


async def test_webhooks_and_other_bots_are_told_apart(
    fake: Discord, channel: Channel, alice: Person, bot: Bot
) -> None:
    fake.add_webhook(channel, "ci").say("build passed")
    fake.add_person(channel.guild, "helper", is_bot=True).say(channel, "beep")
    alice.say(channel, "hello")
    await fake.until(lambda: len(bot.told("message")) == 3)
    told = [(item.webhook_id is not None, item.author.bot) for item in bot.told("message")]
    assert told == [(True, True), (False, True), (False, False)]


async def test_links_of_files_expire_and_are_fresh_when_read_again(
    fake: Discord, channel: Channel, alice: Person, bot: Bot, clock: RunningClock
) -> None:
    message = alice.say(channel, files={"notes.txt": b"notes"})
    heard = (await fake.until(lambda: bot.told("message")))[0]
    clock.advance(25 * 3600)
    with pytest.raises(discord.NotFound):
        await heard.attachments[0].read()
    fresh = await text_channel(bot, channel).fetch_message(message.id)
    assert await fresh.attachments[0].read() == b"notes"
    forged = fresh.attachments[0].url.replace("hm=", "hm=0")
    async with aiohttp.ClientSession() as http, http.get(forged) as response:
        assert response.status == 404


async def test_ids_are_unique_sort_by_time_and_never_go_back(
    fake: Discord, channel: Channel, alice: Person, clock: RunningClock
) -> None:
    messages = [alice.say(channel, "x") for _ in range(50)]
    clock.advance(60)
    messages.append(alice.say(channel, "x"))
    clock.advance(-3600)
    messages.append(alice.say(channel, "x"))
    ids = [message.id for message in messages]
    assert ids == sorted(set(ids))
    assert 59 < time_of(ids[50]) - time_of(ids[49]) < 120
    assert abs(discord.utils.snowflake_time(ids[50]).timestamp() - time_of(ids[50])) < 0.001


async def test_what_a_person_may_not_do_their_client_does_not_offer(
    fake: Discord, channel: Channel, alice: Person
) -> None:
    everyone = fake.everyone(channel.guild)
    mine = alice.say(channel, "mine")
    theirs = fake.say_as_bot(channel, "theirs")
    for act in (
        lambda: alice.edit(theirs, "changed"),
        lambda: alice.delete(theirs),
        lambda: alice.say(channel, "x" * 4001),
        lambda: alice.say(channel, " "),
        lambda: alice.unreact(mine, "👀"),
    ):
        with pytest.raises(Forbidden):
            act()
    fake.overwrite(channel, everyone, deny=Permission.SEND_MESSAGES)
    with pytest.raises(Forbidden):
        alice.say(channel, "hello")
    fake.overwrite(channel, alice, allow=Permission.SEND_MESSAGES)
    alice.say(channel, "hello")
    fake.overwrite(channel, everyone, deny=Permission.VIEW_CHANNEL)
    assert fake.seen(channel, by=alice) == []
    assert [item.content for item in fake.seen(channel)] == ["mine", "theirs", "hello"]
    assert isinstance(fake.seen(channel)[0], SeenMessage)
