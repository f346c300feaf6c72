"""What the bot does to Discord by its REST API, and what it says became of what failed."""

from __future__ import annotations

import asyncio

import pytest

from repobridge_gateway.chat import ChatError, ChatMessage, Fault, Place, ThreadSeen, time_of
from repobridge_gateway.pacer import Priority, Replaced
from repobridge_gateway.render.pieces import Button, File, Piece, Row
from tests.fakes.discord import (
    ActThenHold,
    Channel,
    Cloudflare,
    Discord,
    Gate,
    Guild,
    Permission,
    Reset,
    Status,
    TooMany,
)
from tests.fakes.discord import (
    Fault as Struck,
)
from tests.unit.gateway.bots import Heard

_CREATE = "POST /channels/{channel_id}/messages"
_EDIT = "PATCH /channels/{channel_id}/messages/{message_id}"


async def _send(bot: Heard, channel: Channel, piece: Piece, *, nonce: str = "n") -> str:
    return await bot.rest.send(str(channel.id), piece, nonce=nonce, priority=Priority.ANSWER)


async def test_a_piece_is_sent_whole_once_for_each_nonce_and_pings_nobody_but_who_asked(
    discord: Discord, guild: Guild, channel: Channel, bot: Heard
) -> None:
    ann, bob = discord.add_person(guild, "ann"), discord.add_person(guild, "bob")
    question = ann.say(channel, "what is it?")
    piece = Piece(
        content=f"@everyone look, {bob.mention}: https://example.org",
        files=(File("a.diff", "text/x-diff", b"-a\n+b\n"), File("b.log", "text/plain", b"line\n")),
        components=(Row((Button("Continue", "rb1:lost:x:go"),)),),
        reply_to=str(question.id),
    )
    first = await _send(bot, channel, piece)
    assert await _send(bot, channel, piece) == first
    shown = discord.seen(channel)[1:]
    assert [each.id for each in shown] == [int(first)]
    assert [(file.name, file.data) for file in shown[0].files] == [
        ("a.diff", b"-a\n+b\n"),
        ("b.log", b"line\n"),
    ]
    assert (shown[0].labels, shown[0].reply_to) == (["Continue"], question.id)
    assert shown[0].pings == ("ann",)
    assert shown[0].embeds == ()


async def test_an_answer_to_what_was_deleted_comes_all_the_same(
    discord: Discord, guild: Guild, channel: Channel, bot: Heard
) -> None:
    ann = discord.add_person(guild, "ann")
    question = ann.say(channel, "what is it?")
    ann.delete(question)
    await _send(bot, channel, Piece("an answer", reply_to=str(question.id)))
    assert [each.content for each in discord.seen(channel)] == ["an answer"]


async def test_of_edits_that_wait_only_the_newest_is_made(
    discord: Discord, channel: Channel, bot: Heard
) -> None:
    sent = await _send(bot, channel, Piece("0"))
    gate = Gate()
    discord.faults.on(_EDIT, ActThenHold(gate))
    under_way = asyncio.create_task(bot.rest.edit(str(channel.id), sent, Piece("1")))
    await gate.reached()
    later = [
        asyncio.create_task(bot.rest.edit(str(channel.id), sent, Piece(str(number))))
        for number in range(2, 9)
    ]
    await asyncio.sleep(0)  # each is in the queue, or has left it for the next
    await gate.open()
    ends = await asyncio.gather(under_way, *later, return_exceptions=True)
    assert [type(end) for end in ends] == [type(None), *[Replaced] * 6, type(None)]
    assert discord.seen(channel)[0].content == "8"
    made = [each for each in discord.requests if each.route == _EDIT]
    assert len(made) == 2


async def test_history_is_read_in_order_with_people_alone_to_its_end(
    discord: Discord, guild: Guild, channel: Channel, bot: Heard
) -> None:
    ann = discord.add_person(guild, "ann")
    robot = discord.add_person(guild, "robot", is_bot=True)
    place = Place(guild_id=str(guild.id), channel_id=str(channel.id), parent_id="")
    first = ann.say(channel, "0", files={"a.txt": b"abc"})
    for number in range(1, 160):
        (robot if number % 4 == 3 else ann).say(channel, str(number))
    found: list[ChatMessage] = []
    after = str(first.id - 1)
    while after:
        page, after = await bot.rest.after(place, after)
        found += page
    assert [each.content for each in found] == [str(n) for n in range(160) if n % 4 != 3]
    assert found[0].author.role_ids is None
    assert [each.name for each in found[0].attachments] == ["a.txt"]
    assert abs(time_of(found[0].message_id) - discord.clock.wall()) < 600

    (file,) = await bot.rest.attachments(str(channel.id), found[0].message_id)
    assert await bot.rest.content(file.url, largest_bytes=10) == b"abc"


async def test_our_own_messages_behind_a_prompt_are_found(
    discord: Discord, guild: Guild, channel: Channel, bot: Heard
) -> None:
    ann = discord.add_person(guild, "ann")
    question = ann.say(channel, "?")
    await _send(bot, channel, Piece("one", reply_to=str(question.id)), nonce="1")
    ann.say(channel, "meanwhile")
    await _send(bot, channel, Piece("two"), nonce="2")
    own, last = await bot.rest.own_after(str(channel.id), str(question.id))
    assert last == ""
    assert [each["content"] for each in own] == ["one", "two"]


async def test_people_and_places_are_as_discord_says_now(
    discord: Discord, guild: Guild, channel: Channel, bot: Heard
) -> None:
    role = discord.add_role(guild, "approvers")
    ann = discord.add_person(guild, "ann", role)
    member = await bot.rest.member(str(guild.id), str(ann.id), now=12.0)
    assert (member.role_ids, member.as_of) == (frozenset({str(role.id)}), 12.0)
    thread = await bot.rest.open_thread(
        str(channel.id), str(ann.say(channel, "a thing").id), "A thing"
    )
    assert thread.parent_id == str(channel.id)
    assert await bot.rest.place(thread.channel_id) == thread
    assert await bot.rest.place(str(channel.id)) == Place(
        guild_id=str(guild.id), channel_id=str(channel.id), parent_id=""
    )
    assert await bot.rest.active_threads(str(guild.id)) == (thread,)
    discord.owner_of(guild).archive(discord.threads(channel)[0])
    (archived,) = (await bot.rest.archived_threads(str(channel.id))).threads
    assert archived.place == thread
    await bot.rest.revive(thread.channel_id)
    assert await bot.rest.active_threads(str(guild.id)) == (thread,)


async def test_where_a_channel_is_of_which_the_websocket_told_is_not_asked_for(
    discord: Discord, guild: Guild, channel: Channel, bot: Heard
) -> None:
    ann = discord.add_person(guild, "ann")
    thread = ann.open_thread(ann.say(channel, "a thing"), "A thing")
    await bot.next(ThreadSeen)
    before = len(discord.requests)
    assert [await bot.rest.place(str(each.id)) for each in (channel, thread)] == [
        Place(guild_id=str(guild.id), channel_id=str(channel.id), parent_id=""),
        Place(guild_id=str(guild.id), channel_id=str(thread.id), parent_id=str(channel.id)),
    ]
    assert len(discord.requests) == before
    discord.owner_of(guild).archive(thread)
    await bot.next(ThreadSeen, number=2)  # the library forgets it with that
    assert (await bot.rest.place(str(thread.id))).parent_id == str(channel.id)
    discord.delete_channel(thread)
    with pytest.raises(ChatError) as gone:
        await bot.rest.place(str(thread.id))
    assert gone.value.fault is Fault.GONE


async def test_reactions_typing_and_deletions_are_made(
    discord: Discord, guild: Guild, channel: Channel, bot: Heard
) -> None:
    question = discord.add_person(guild, "ann").say(channel, "?")
    await bot.rest.react(str(channel.id), str(question.id), "👀")
    assert set(discord.seen(channel)[0].reactions) == {"👀"}
    await bot.rest.unreact(str(channel.id), str(question.id), "👀")
    assert discord.seen(channel)[0].reactions == {}
    await bot.rest.typing(str(channel.id))
    sent = await _send(bot, channel, Piece("for a moment"))
    await bot.rest.settle(str(channel.id), sent, Piece("for good"))
    assert discord.seen(channel)[1].content == "for good"
    await bot.rest.delete(str(channel.id), sent)
    assert len(discord.seen(channel)) == 1


@pytest.mark.parametrize(
    ("struck", "fault"),
    [
        (Status(503), Fault.UNKNOWN),
        (Cloudflare(503), Fault.UNKNOWN),
        (Cloudflare(429), Fault.LIMITED),
        (TooMany(via=False), Fault.LIMITED),
        (Reset(acts=False), Fault.UNKNOWN),
        (Reset(acts=True), Fault.UNKNOWN),
    ],
)
async def test_what_became_of_a_call_that_failed_is_said(
    discord: Discord, channel: Channel, bot: Heard, struck: Struck, fault: Fault
) -> None:
    discord.faults.on(_CREATE, struck)
    with pytest.raises(ChatError) as raised:
        await _send(bot, channel, Piece("hello"))
    assert raised.value.fault is fault
    sent = await _send(bot, channel, Piece("hello"))
    assert [each.id for each in discord.seen(channel)] == [int(sent)]  # by its nonce, once


async def test_a_refusal_of_discords_own_limits_is_waited_out(
    discord: Discord, channel: Channel, bot: Heard
) -> None:
    discord.faults.on(_CREATE, TooMany(retry_after=0.01), times=2)
    await _send(bot, channel, Piece("hello"))
    assert [each.content for each in discord.seen(channel)] == ["hello"]


async def test_what_is_gone_forbidden_or_wrong_will_not_be_tried_again(
    discord: Discord, guild: Guild, channel: Channel, bot: Heard
) -> None:
    with pytest.raises(ChatError) as raised:
        await bot.rest.settle(str(channel.id), "1", Piece("x"))
    assert (raised.value.fault, raised.value.code) == (Fault.GONE, 10008)
    with pytest.raises(ChatError, match="Discord says 400") as raised:
        await _send(bot, channel, Piece("x" * 2001))
    assert raised.value.fault is Fault.REJECTED
    discord.overwrite(channel, discord.everyone(guild), deny=Permission.SEND_MESSAGES)
    with pytest.raises(ChatError) as raised:
        await _send(bot, channel, Piece("x"))
    assert (raised.value.fault, raised.value.code) == (Fault.FORBIDDEN, 50013)
