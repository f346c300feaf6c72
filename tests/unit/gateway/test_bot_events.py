"""What the bot hears of Discord over the real websocket: in order, and of people only."""

from __future__ import annotations

import asyncio

import pytest

from repobridge_gateway.bot.client import BotError
from repobridge_gateway.chat import (
    ChannelGone,
    ChatMessage,
    Connected,
    Disconnected,
    Interaction,
    InteractionKind,
    MessageEdited,
    MessagesDeleted,
    OwnMessage,
    Place,
    Reaction,
    ThreadSeen,
)
from repobridge_gateway.pacer import Priority
from repobridge_gateway.render.pieces import (
    Button,
    Modal,
    Option,
    Piece,
    Row,
    Select,
    TextInput,
)
from tests.fakes.discord import Discord, MessageType, Reset, Status
from tests.fakes.discord.world import Draft
from tests.unit.gateway.bots import Heard, heard


async def test_messages_come_in_order_with_their_author_roles_and_place(discord: Discord) -> None:
    guild = discord.add_guild("acme")
    role = discord.add_role(guild, "developers")
    channel = discord.add_channel(guild, "payments")
    ann = discord.add_person(guild, "ann", role)
    async with heard(discord) as bot:
        sent = [ann.say(channel, f"message {number}") for number in range(20)]
        await bot.next(ChatMessage, number=20)
        told = bot.of(ChatMessage)
        assert [each.message_id for each in told] == [str(each.id) for each in sent]
        assert [each.content for each in told] == [f"message {number}" for number in range(20)]
        first = told[0]
        assert first.place == Place(
            guild_id=str(guild.id), channel_id=str(channel.id), parent_id=""
        )
        assert (first.author.user_id, first.author.display_name) == (str(ann.id), "Ann")
        assert first.author.role_ids == frozenset({str(role.id)})

        answer = ann.say(channel, f"<@{discord.bot.id}> and this?", reply_to=sent[3])
        thread = ann.open_thread(sent[0], "a thread")
        ann.say(thread, "in it", files={"notes.txt": b"some notes"})
        replied = await bot.next(ChatMessage, number=21)
        within = await bot.next(ChatMessage, number=22)
        assert (replied.message_id, replied.reply_to) == (str(answer.id), str(sent[3].id))
        assert (replied.mentions_us, within.mentions_us) == (True, False)
        assert within.place.parent_id == str(channel.id)
        (notes,) = within.attachments
        assert (notes.name, notes.size) == ("notes.txt", 10)


async def test_whoever_is_no_person_is_not_heard(discord: Discord) -> None:
    guild = discord.add_guild("acme")
    channel = discord.add_channel(guild, "payments")
    ann = discord.add_person(guild, "ann")
    other = discord.add_person(guild, "other", is_bot=True)
    async with heard(discord) as bot:
        other.say(channel, "I am a bot")
        discord.add_webhook(channel, "ann").say("I look like ann")
        discord.say_as_bot(channel, "an earlier one of ours")
        ann.say(channel, "at last a person")
        await bot.next(ChatMessage)
        assert [each.content for each in bot.of(ChatMessage)] == ["at last a person"]


async def test_what_discord_itself_says_is_not_heard_and_what_has_no_words_comes_without(
    discord: Discord,
) -> None:
    guild = discord.add_guild("acme")
    channel, other = discord.add_channel(guild, "payments"), discord.add_channel(guild, "ledger")
    ann = discord.add_person(guild, "ann")
    original = ann.say(other, "worth reading")
    async with heard(discord) as bot:
        for kind in (MessageType.CHANNEL_PINNED_MESSAGE, MessageType.USER_JOIN):
            discord.world.post(channel, ann.member.user, Draft(type=kind))
        ann.open_thread(channel, "a thread of no message")
        ann.forward(channel, original)
        ann.stick(channel, "a wave")
        ann.poll(channel, "Ship it?", "yes", "no")
        ann.say(channel, files={"voice-message.ogg": b"OggS"})
        ann.say(channel, "y" * 4000)
        await bot.next(ChatMessage, number=5)
        told = [(each.content, len(each.attachments)) for each in bot.of(ChatMessage)]
        assert told == [("", 0), ("", 0), ("", 0), ("", 1), ("y" * 4000, 0)]
        place = bot.of(ChatMessage)[0].place
        history, _ = await bot.rest.after(place, "0")
        assert [(each.content, len(each.attachments)) for each in history] == told


async def test_edits_unfurled_links_and_deletions_are_told(discord: Discord) -> None:
    guild = discord.add_guild("acme")
    channel = discord.add_channel(guild, "payments")
    ann = discord.add_person(guild, "ann")
    old = ann.say(channel, "before the bot came https://example.org")
    async with heard(discord) as bot:
        ann.edit(old, "another text")
        discord.unfurl(old, {"title": "a page", "type": "rich"})
        ann.delete(old)
        (deleted,) = [await bot.next(MessagesDeleted)]
        assert deleted.message_ids == (str(old.id),)
        assert [each.content for each in bot.of(MessageEdited)] == ["another text"] * 2


async def test_a_message_of_ours_is_known_by_its_nonce(discord: Discord) -> None:
    channel = discord.add_channel(discord.add_guild("acme"), "payments")
    async with heard(discord) as bot:
        sent = await bot.rest.send(
            str(channel.id), Piece("hello"), nonce="a1b2", priority=Priority.ANSWER
        )
        assert await bot.next(OwnMessage) == OwnMessage(
            message_id=sent, channel_id=str(channel.id), nonce="a1b2"
        )
        assert bot.of(ChatMessage) == []


async def test_clicks_choices_forms_and_commands_carry_who_and_what(discord: Discord) -> None:
    guild = discord.add_guild("acme")
    role = discord.add_role(guild, "approvers")
    channel = discord.add_channel(guild, "payments")
    ann = discord.add_person(guild, "ann", role)
    rows = (
        Row((Button("Allow once", "rb1:approval:x:once"),)),
        Row((Select("rb1:question:x:pick", (Option("One", "1"), Option("Two", "2"))),)),
    )
    async with heard(discord) as bot:
        await bot.rest.register(str(guild.id), [COMMAND])
        await bot.rest.send(
            str(channel.id), Piece("May I?", components=rows), nonce="n", priority=Priority.DECISION
        )
        shown = discord.seen(channel)[-1]
        clicking = asyncio.create_task(ann.click(shown, "Allow once"))
        click = await bot.next(Interaction)
        assert (click.kind, click.name) == (InteractionKind.COMPONENT, "rb1:approval:x:once")
        assert click.person.role_ids == frozenset({str(role.id)})
        assert (click.message_id, click.place.channel_id) == (str(shown.id), str(channel.id))
        await bot.rest.update(click, Piece("Allowed by ann."))
        assert (await clicking).text == "Allowed by ann."
        assert discord.seen(channel)[-1].buttons == ()

        running = asyncio.create_task(ann.command(channel, "new", title="a thing"))
        command = await bot.next(Interaction, number=2)
        assert (command.kind, command.name) == (InteractionKind.COMMAND, "new")
        assert command.fields == {"title": ("a thing",)}
        form = Modal("rb1:form:x:why", "Why?", (TextInput("reason", "Your reason"),))
        await bot.rest.ask(command, form)
        opened = await running
        submitting = asyncio.create_task(ann.submit(opened, {"reason": "because"}))
        filled = await bot.next(Interaction, number=3)
        assert (filled.kind, filled.name) == (InteractionKind.MODAL, "rb1:form:x:why")
        assert filled.fields == {"reason": ("because",)}
        await bot.rest.say_privately(filled, "Thank you.")
        answered = await submitting
        assert (answered.text, answered.is_ephemeral) == ("Thank you.", True)

        completing = asyncio.create_task(ann.autocomplete(channel, "new", "title", "a"))
        asked = await bot.next(Interaction, number=4)
        assert (asked.kind, asked.focused) == (InteractionKind.AUTOCOMPLETE, "title")
        assert asked.fields == {"title": ("a",)}
        await bot.rest.complete(asked, {"The alphabet": "abc"})
        assert (await completing).choices == {"The alphabet": "abc"}

        deferring = asyncio.create_task(ann.command(channel, "new", title="later"))
        late = await bot.next(Interaction, number=5)
        await bot.rest.defer(late)
        waiting = await deferring
        await bot.rest.follow(late, Piece("Here it is."))
        assert (waiting.text, waiting.is_ephemeral) == ("Here it is.", True)


async def test_a_select_tells_what_was_chosen(discord: Discord) -> None:
    guild = discord.add_guild("acme")
    channel = discord.add_channel(guild, "payments")
    ann = discord.add_person(guild, "ann")
    rows = (Row((Select("pick", (Option("One", "1"), Option("Two", "2")), max_values=2),)),)
    async with heard(discord) as bot:
        await bot.rest.send(
            str(channel.id), Piece("Which?", components=rows), nonce="n", priority=Priority.DECISION
        )
        choosing = asyncio.create_task(ann.select(discord.seen(channel)[-1], "pick", ["2", "1"]))
        chosen = await bot.next(Interaction)
        assert set(chosen.values) == {"1", "2"}
        await bot.rest.acknowledge(chosen)
        await choosing


async def test_reactions_threads_and_channels_that_go_are_told(discord: Discord) -> None:
    guild = discord.add_guild("acme")
    channel = discord.add_channel(guild, "payments")
    ann = discord.add_person(guild, "ann")
    async with heard(discord) as bot:
        question = ann.say(channel, "a question")
        ann.react(question, "🧵")
        reaction = await bot.next(Reaction)
        assert (reaction.emoji, reaction.message_id) == ("🧵", str(question.id))
        assert reaction.person.user_id == str(ann.id)

        thread = ann.open_thread(question, "about it")
        seen = await bot.next(ThreadSeen)
        assert (seen.name, seen.place.parent_id) == ("about it", str(channel.id))
        other = ann.say(channel, "another")
        ours = await bot.rest.open_thread(str(channel.id), str(other.id), "ours")
        await discord.until(lambda: bot.of(ThreadSeen)[-1].name == "ours")
        places = [ours, bot.of(ThreadSeen)[-1].place, await bot.rest.place(ours.channel_id)]
        assert places == [ours] * 3
        assert (ours.is_ours, seen.place.is_ours) == (True, False)
        ann.archive(thread)
        await discord.until(lambda: bot.of(ThreadSeen)[-1].is_archived)
        discord.delete_channel(thread)
        discord.delete_channel(channel)
        await bot.next(ChannelGone, number=3)
        gone = {each.channel_id for each in bot.of(ChannelGone)}
        assert gone == {str(thread.id), ours.channel_id, str(channel.id)}


async def test_a_lost_connection_is_resumed_or_begun_anew_and_said(discord: Discord) -> None:
    guild = discord.add_guild("acme")
    channel = discord.add_channel(guild, "payments")
    ann = discord.add_person(guild, "ann")
    async with heard(discord) as bot:
        await discord.gateway.cut()
        ann.say(channel, "while it was away")
        assert (await bot.next(Connected, number=2)).resumed
        assert (await bot.next(ChatMessage)).content == "while it was away"
        assert len(bot.of(Disconnected)) == 1

        async with discord.gateway.outage():
            ann.say(channel, "nobody is told of this")
        assert not (await bot.next(Connected, number=3)).resumed
        assert len(bot.of(ChatMessage)) == 1


async def test_discord_that_does_not_answer_yet_is_waited_for(discord: Discord) -> None:
    discord.faults.on("GET /gateway/bot", Status(503), Reset(acts=False))
    async with heard(discord) as bot:
        assert await bot.next(Connected) == Connected(0, resumed=False)
        assert discord.faults.waiting == 0


async def test_a_session_that_is_begun_anew_is_where_the_first_one_was(discord: Discord) -> None:
    async with heard(discord) as bot:
        discord.gateway.invalidate(is_resumable=False)
        assert await bot.next(Connected, number=2) == Connected(0, resumed=False)


async def test_a_bot_that_is_ended_while_it_connects_anew_ends(discord: Discord) -> None:
    bot = Heard(discord)
    running = asyncio.create_task(bot.bot.run())
    await bot.next(Connected)
    discord.gateway.invalidate(is_resumable=False)
    await bot.next(Disconnected)  # the library waits for five seconds before it says who we are
    running.cancel()
    done, _ = await asyncio.wait([running], timeout=60)
    assert done == {running}
    assert running.cancelled()


async def test_what_is_not_switched_on_is_named(discord: Discord) -> None:
    discord.application.has_content_intent = False
    bot = Heard(discord)
    with pytest.raises(BotError, match="Message Content Intent"):
        await bot.bot.run()


async def test_a_wrong_token_is_named_without_being_told(discord: Discord) -> None:
    bot = Heard(discord, token="not-a-token")
    with pytest.raises(BotError, match="refuses the bot's token") as raised:
        await bot.bot.run()
    assert "not-a-token" not in str(raised.value)


COMMAND = {
    "name": "new",
    "description": "Begin a thread",
    "type": 1,
    "options": [
        {
            "name": "title",
            "description": "What it is about",
            "type": 3,
            "required": True,
            "autocomplete": True,
        }
    ],
}
