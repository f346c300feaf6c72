"""How pieces of the outbox come into channels: in order, once, and whatever Discord does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from repobridge_gateway.chat import snowflake_at
from repobridge_gateway.render.pieces import File, Piece
from repobridge_gateway.sender import MOST_TRIES, Outcome, Sender
from repobridge_gateway.speech import outgoing, sentence
from repobridge_gateway.store.sqlite import SqliteStore
from tests.fakes.discord import (
    ActThenHold,
    Channel,
    Cloudflare,
    Discord,
    Gate,
    Guild,
    Held,
    Permission,
    Person,
    Reset,
    RunningClock,
    Status,
    TooMany,
)
from tests.fakes.discord import Fault as Struck
from tests.unit.gateway.bots import Heard
from tests.unit.gateway.sending import BRIDGE, Post, posting

_CREATE = "POST /channels/{channel_id}/messages"
_HISTORY = "GET /channels/{channel_id}/messages"


@pytest.fixture
async def post(discord: Discord, bot: Heard, tmp_path: Path) -> AsyncIterator[Post]:
    async with posting(discord, bot, tmp_path / "store") as made:
        yield made


def _said(discord: Discord, channel: Channel) -> list[str]:
    """What the bot said in a channel."""
    return [each.content for each in discord.seen(channel) if each.author == discord.bot.name]


async def test_a_channels_pieces_come_in_order_and_channels_do_not_wait_for_each_other(
    discord: Discord, guild: Guild, channel: Channel, post: Post
) -> None:
    other = discord.add_channel(guild, "ledger")
    gate = Gate()
    discord.faults.on(_CREATE, Held(gate))
    await post.say(channel, "one", "two", "three")
    await gate.reached()
    await post.say(other, "elsewhere", turn="t2")
    await post.counted(sent=1)
    assert (_said(discord, channel), _said(discord, other)) == ([], ["elsewhere"])
    await gate.open()
    await post.counted(sent=4)
    assert _said(discord, channel) == ["one", "two", "three"]
    assert await post.states() == {"done": 4}


@pytest.mark.parametrize(
    "struck", [Status(503), Cloudflare(503), Reset(acts=False), Reset(acts=True)]
)
async def test_what_nobody_answered_is_sent_again_and_comes_once(
    discord: Discord, channel: Channel, post: Post, struck: Struck
) -> None:
    discord.faults.on(_CREATE, struck)
    await post.say(channel, "one", "two")
    await post.counted(unknown=1)
    assert await post.states() == {"trying": 1, "pending": 1}
    assert post.sender.last_error(str(channel.id)) != ""
    await post.later(61)
    await post.counted(unknown=1, sent=2)
    assert _said(discord, channel) == ["one", "two"]
    assert post.sender.last_error(str(channel.id)) == ""


@pytest.mark.parametrize(
    "struck", [TooMany(via=False), Cloudflare(429), Cloudflare(403), Cloudflare(404)]
)
async def test_what_discord_has_no_time_for_was_not_sent_and_waits(
    discord: Discord, channel: Channel, post: Post, struck: Struck
) -> None:
    discord.faults.on(_CREATE, struck)
    await post.say(channel, "one")
    await post.counted(not_sent=1)
    assert await post.states() == {"pending": 1}
    await post.later(61)
    await post.counted(not_sent=1, sent=1)
    assert _said(discord, channel) == ["one"]


async def test_a_refusal_does_not_hide_that_an_earlier_send_may_have_arrived(
    discord: Discord, clock: RunningClock, channel: Channel, ann: Person, post: Post
) -> None:
    question = ann.say(channel, "?")
    discord.faults.on(_CREATE, Reset(acts=True))
    discord.faults.on(_CREATE, Cloudflare(429))
    await post.say(channel, "the answer", to=question)
    await post.counted(unknown=1)
    await post.later(61)
    await post.counted(unknown=2)
    clock.advance(600)  # the nonce is forgotten by now
    await post.later(600)
    await post.counted(unknown=2, found=1)
    assert _said(discord, channel) == ["the answer"]


async def test_a_gateway_that_dies_while_it_sends_leaves_one_message(
    discord: Discord, channel: Channel, post: Post
) -> None:
    gate = Gate()
    discord.faults.on(_CREATE, ActThenHold(gate))
    await post.say(channel, "one", "two")
    await gate.reached()
    await post.crash()
    assert await post.states() == {"trying": 1, "pending": 1}
    await gate.open()
    post.restart()
    await post.counted(sent=2)
    assert _said(discord, channel) == ["one", "two"]


@pytest.mark.parametrize("acts", [True, False])
@pytest.mark.parametrize("is_other_boot", [True, False])
@pytest.mark.parametrize("is_reply", [True, False])
async def test_what_is_older_than_its_nonce_is_searched_for_and_sent_only_if_it_is_not_there(
    *,
    discord: Discord,
    clock: RunningClock,
    channel: Channel,
    ann: Person,
    post: Post,
    acts: bool,
    is_other_boot: bool,
    is_reply: bool,
) -> None:
    question = ann.say(channel, "?")
    discord.faults.on(_CREATE, Reset(acts=acts))
    await post.say(channel, "the answer\n", to=question if is_reply else None)
    await post.counted(unknown=1)
    await post.crash()
    clock.advance(600)
    ann.say(channel, "hello?")
    post.clock.advance(600)
    if is_other_boot:
        post.clock.reboot()
    post.restart()
    await (post.counted(found=1) if acts else post.counted(not_found=1, sent=1))
    assert _said(discord, channel) == ["the answer"]
    assert await post.states() == {"done": 1}


async def test_a_message_is_found_behind_many_others(
    discord: Discord, clock: RunningClock, channel: Channel, ann: Person, post: Post
) -> None:
    question = ann.say(channel, "?")
    for number in range(230):
        ann.say(channel, f"meanwhile {number}")
    discord.faults.on(_CREATE, Reset(acts=True))
    await post.say(channel, "the answer", to=question)
    await post.counted(unknown=1)
    clock.advance(600)
    await post.later(600)
    await post.counted(unknown=1, found=1)
    assert _said(discord, channel) == ["the answer"]


async def test_two_equal_answers_stay_two_even_where_the_second_is_searched_for(
    discord: Discord, clock: RunningClock, channel: Channel, ann: Person, post: Post
) -> None:
    first, second = ann.say(channel, "ready?"), ann.say(channel, "ready?")
    await post.say(channel, "Yes.", turn="t1", to=first)
    await post.counted(sent=1)
    discord.faults.on(_CREATE, Reset(acts=False))
    await post.say(channel, "Yes.", turn="t2", to=second)
    await post.counted(sent=1, unknown=1)
    clock.advance(600)
    await post.later(600)
    await post.counted(sent=2, unknown=1, not_found=1)
    replies = [each.reply_to for each in discord.seen(channel)[2:]]
    assert replies == [first.id, second.id]


@pytest.mark.parametrize("is_read", [True, False])
async def test_what_answers_nothing_is_searched_for_behind_what_was_read_before_it(
    *,
    discord: Discord,
    clock: RunningClock,
    channel: Channel,
    ann: Person,
    post: Post,
    is_read: bool,
) -> None:
    said = [ann.say(channel, f"before {number}") for number in range(150)]
    if is_read:
        await post.store.inbox.pass_by(str(channel.id), str(said[-1].id))
    else:  # as far as our clock says, that is a message of the future
        far = snowflake_at(discord.clock.wall() + 3600)
        await post.store.gaps.open_gap(
            str(channel.id), bridge=BRIDGE, conversation="main", reason="new", first=far
        )
    discord.faults.on(_CREATE, Reset(acts=True))
    await post.say(channel, "Done.", turn="cron")
    await post.counted(unknown=1)
    later = ann.say(channel, "after it")
    await post.store.inbox.pass_by(str(channel.id), str(later.id))
    clock.advance(600)
    await post.later(600)
    await post.counted(unknown=1, found=1)
    assert _said(discord, channel) == ["Done."]
    reads = [each for each in discord.requests if each.route == _HISTORY]
    assert len(reads) == (1 if is_read else 2)


@pytest.mark.parametrize("acts", [True, False])
@pytest.mark.parametrize("skew", [-3600.0, 3600.0])
async def test_a_clock_that_was_set_and_an_equal_message_before_it_mislead_no_search(
    *,
    discord: Discord,
    clock: RunningClock,
    channel: Channel,
    post: Post,
    acts: bool,
    skew: float,
) -> None:
    await post.say(channel, "Done.", turn="t1")
    await post.counted(sent=1)
    discord.faults.on(_CREATE, Reset(acts=acts))
    await post.say(channel, "Done.", turn="t2")
    await post.counted(sent=1, unknown=1)
    await post.crash()
    clock.advance(600)
    post.clock.advance(600)
    post.clock.skew = skew
    post.restart()
    await (post.counted(found=1) if acts else post.counted(not_found=1, sent=1))
    assert _said(discord, channel) == ["Done.", "Done."]


@pytest.mark.parametrize("acts", [True, False])
async def test_the_answer_to_a_deleted_question_comes_once(
    *, discord: Discord, clock: RunningClock, channel: Channel, ann: Person, post: Post, acts: bool
) -> None:
    question = ann.say(channel, "?")
    ann.delete(question)
    discord.faults.on(_CREATE, Reset(acts=acts))
    await post.say(channel, "the answer", to=question)
    await post.counted(unknown=1)
    clock.advance(600)
    await post.later(600)
    await (
        post.counted(unknown=1, found=1) if acts else post.counted(unknown=1, not_found=1, sent=1)
    )
    assert _said(discord, channel) == ["the answer"]


async def test_what_answers_nothing_is_not_taken_for_the_answer_to_a_question_that_stands(
    discord: Discord, clock: RunningClock, channel: Channel, ann: Person, post: Post
) -> None:
    question = ann.say(channel, "?")
    await post.say(channel, "Done.", turn="cron")
    await post.counted(sent=1)
    await post.crash()
    post.restart()  # what this one sent before it has forgotten
    discord.faults.on(_CREATE, Reset(acts=False))
    await post.say(channel, "Done.", turn="t1", to=question)
    await post.counted(unknown=1)
    clock.advance(600)
    await post.later(600)
    await post.counted(unknown=1, not_found=1, sent=1)
    assert [each.reply_to for each in discord.seen(channel)[1:]] == [None, question.id]


async def test_a_piece_that_was_seen_in_its_channel_is_done(
    discord: Discord, channel: Channel, post: Post
) -> None:
    gate = Gate()
    discord.faults.on(_CREATE, ActThenHold(gate))
    pieces = outgoing("t1", str(channel.id), [Piece("one"), Piece("two")])
    await post.put(*pieces)
    await gate.reached()
    (seen,) = discord.seen(channel)
    assert await post.store.outbox.seen_own(pieces[0].nonce, message_id=str(seen.id))
    await gate.open()
    await post.counted(sent=2)
    assert _said(discord, channel) == ["one", "two"]
    assert await post.states() == {"done": 2}


async def test_what_is_for_a_closed_channel_waits_until_it_opens(
    discord: Discord, guild: Guild, channel: Channel, post: Post
) -> None:
    everyone, name = discord.everyone(guild), str(channel.id)
    discord.overwrite(channel, everyone, deny=Permission.SEND_MESSAGES)
    await post.say(channel, "one", "two", "three")
    await post.counted(not_sent=1)
    assert post.sender.forbidden == {name}
    assert "Missing Permissions" in post.sender.last_error(name)
    await post.later(60)
    discord.overwrite(channel, everyone, allow=Permission.SEND_MESSAGES)
    post.sender.permitted(name)
    await post.counted(not_sent=1, sent=3)
    assert _said(discord, channel) == ["one", "two", "three"]
    assert (post.sender.forbidden, post.sender.last_error(name)) == (frozenset(), "")


async def test_a_closed_channel_is_tried_every_five_minutes_and_loses_what_was_tried_too_often(
    discord: Discord, guild: Guild, channel: Channel, post: Post
) -> None:
    discord.overwrite(channel, discord.everyone(guild), deny=Permission.SEND_MESSAGES)
    await post.say(channel, "one", "two", "three")
    for tries in range(1, MOST_TRIES):
        await post.counted(not_sent=tries)
        await post.later(301)
    await post.counted(not_sent=MOST_TRIES - 1, lost=1)
    await post.later(200)
    other = discord.add_channel(guild, "ledger")
    await post.say(other, "elsewhere", turn="t2")
    await post.counted(not_sent=MOST_TRIES - 1, lost=1, sent=1)
    assert await post.states() == {"lost": 1, "pending": 2, "done": 1}


async def test_what_a_token_that_is_no_more_could_not_send_is_kept(
    discord: Discord, channel: Channel, post: Post
) -> None:
    token = discord.token
    discord.application.token = "another"
    await post.say(channel, "one")
    await post.counted(not_sent=1)
    assert post.sender.forbidden == {str(channel.id)}
    discord.application.token = token
    await post.later(301)
    await post.counted(not_sent=1, sent=1)
    assert _said(discord, channel) == ["one"]


async def test_all_that_is_for_a_deleted_channel_ends_with_one_request(
    discord: Discord, guild: Guild, channel: Channel, post: Post
) -> None:
    gate = Gate()
    discord.faults.on(_CREATE, Held(gate))
    await post.say(channel, "one", "two", "three")
    await gate.reached()
    discord.delete_channel(channel)
    await gate.open()
    await post.counted(lost=1)
    assert await post.states() == {"lost": 3}
    assert len([each for each in discord.requests if each.route == _CREATE]) == 1


async def test_an_archived_thread_is_opened_for_what_is_said_there(
    discord: Discord, guild: Guild, channel: Channel, ann: Person, post: Post
) -> None:
    thread = ann.open_thread(channel, "a thing")
    discord.owner_of(guild).lock(thread)
    gate = Gate()
    discord.faults.on("PATCH /channels/{channel_id}", Held(gate))
    await post.say(thread, "one", "two")
    await gate.reached()
    discord.world.update_thread(thread, is_locked=False)
    await gate.open()
    await post.counted(sent=2)
    assert _said(discord, thread)[-2:] == ["one", "two"]
    assert thread.thread is not None
    assert not thread.thread.is_archived


async def test_a_locked_thread_is_closed_to_us(
    discord: Discord, guild: Guild, channel: Channel, ann: Person, post: Post
) -> None:
    thread = ann.open_thread(channel, "a thing")
    discord.owner_of(guild).lock(thread)
    await post.say(thread, "one", "two")
    await post.counted(not_sent=1)
    discord.owner_of(guild).unarchive(thread)
    discord.world.update_thread(thread, is_locked=False)
    post.sender.permitted(str(thread.id))
    await post.counted(not_sent=1, sent=2)


async def test_a_text_that_discord_refuses_comes_as_a_file(
    discord: Discord, channel: Channel, ann: Person, post: Post
) -> None:
    text = "x" * 2001  # what a filter would do: nothing of ours is ever so long
    piece = Piece("x", (File("a.diff", "text/x-diff", b"-a\n"),))
    (told,) = outgoing("t1", str(channel.id), [piece])
    payload = told.payload.replace('"content": "x"', f'"content": "{text}"')
    await post.put(replace(told, payload=payload))
    await post.counted(substituted=1)
    (seen,) = discord.seen(channel)
    assert seen.content == "-# Discord did not take this as a message, so it comes as a file."
    assert [(file.name, file.data) for file in seen.files] == [
        ("message.md", text.encode()),
        ("a.diff", b"-a\n"),
    ]


async def test_where_no_files_may_be_attached_the_text_comes_and_says_so(
    discord: Discord, guild: Guild, channel: Channel, post: Post
) -> None:
    discord.overwrite(channel, discord.everyone(guild), deny=Permission.ATTACH_FILES)
    discord.overwrite(channel, discord.bot, deny=Permission.ATTACH_FILES)
    piece = Piece("Two files changed.", (File("a.diff", "text/x-diff", b"-a\n"),))
    await post.put(*outgoing("t1", str(channel.id), [piece]))
    await post.counted(substituted=1)
    assert _said(discord, channel) == [
        "Two files changed.\n-# The bot may not attach files here, so these are missing: `a.diff`"
    ]


async def test_a_row_that_can_not_be_read_is_given_up_and_its_channel_goes_on(
    discord: Discord, channel: Channel, post: Post
) -> None:
    first, second = outgoing("t1", str(channel.id), [Piece("one"), Piece("two")])
    await post.put(replace(first, payload='{"content": 1}'), second)
    await post.counted(lost=1, sent=1)
    assert _said(discord, channel) == ["two"]


async def test_an_hour_without_discord_loses_nothing_and_doubles_nothing(
    discord: Discord, guild: Guild, ann: Person, post: Post
) -> None:
    channels = [discord.add_channel(guild, f"team-{number}") for number in range(20)]
    questions = {each.id: ann.say(each, "?") for each in channels}
    faults: list[Struck] = [Status(503), Reset(acts=True), Cloudflare(429), Reset(acts=False)]
    for number in range(60):
        discord.faults.on(_CREATE, faults[number % len(faults)])
    for each in channels:
        texts = [f"answer {number}" for number in range(8)]
        for number, text in enumerate(texts):
            await post.say(each, text, turn=f"{each.id}-{number}", to=questions[each.id])
    counted, done = post.sender.counted, 8 * len(channels)
    await post.hurried(lambda: counted[Outcome.SENT] + counted[Outcome.FOUND] == done)
    assert await post.states() == {"done": done}
    for each in channels:
        assert _said(discord, each) == [f"answer {number}" for number in range(8)]


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 50))]
)
async def test_gateways_that_die_anywhere_while_discord_fails_leave_each_piece_once(
    *, discord: Discord, clock: RunningClock, guild: Guild, ann: Person, post: Post, seed: int
) -> None:
    random = Random(seed)
    faults = (Status(503), Cloudflare(429), Reset(acts=True), Reset(acts=False), TooMany(via=False))
    channels = [discord.add_channel(guild, f"team-{number}") for number in range(3)]
    expected: dict[int, list[tuple[str, int | None]]] = {each.id: [] for each in channels}
    for number in range(4):
        for each in channels:
            question = ann.say(each, "?")
            turn = f"{each.name}-{number}"
            await post.say(each, "Yes.", f"More of {number}", turn=turn, to=question)
            expected[each.id] += [("Yes.", question.id), (f"More of {number}", None)]

    def shown() -> dict[int, list[tuple[str, int | None]]]:
        return {
            each.id: [
                (seen.content, seen.reply_to)
                for seen in discord.seen(each)
                if seen.author == discord.bot.name
            ]
            for each in channels
        }

    await post.crash()
    while open_channels := await post.open_channels():
        seconds = random.choice((1.0, 61.0, 600.0))
        clock.advance(seconds)
        post.clock.advance(seconds)
        for _ in range(random.randrange(3)):
            discord.faults.on(_CREATE, random.choice(faults))
        before, outcomes = len(discord.requests), random.randrange(open_channels + 1)
        post.restart()
        counted = post.sender.counted
        # Each channel comes to something before it is let be.
        await discord.until(
            lambda: len(discord.requests) > before and counted.total() >= outcomes  # noqa: B023
        )
        for _ in range(random.randrange(100)):
            await asyncio.sleep(0)  # somewhere between two commits
        await post.crash()
    assert shown() == expected
    post.restart()


async def test_whoever_waits_for_a_piece_hears_when_it_stands_or_is_given_up(
    discord: Discord, channel: Channel, bot: Heard, tmp_path: Path
) -> None:
    store = await SqliteStore.open(tmp_path / "store")
    settled: list[str] = []

    def hear(bridge: str) -> None:
        settled.append(bridge)
        discord.changes.note()

    sender = Sender(store, bot.rest, settled=hear)
    task = asyncio.create_task(sender.run())
    await store.outbox.say(BRIDGE, sentence("t1", str(channel.id), "it stands"))
    sender.look()
    await discord.until(lambda: settled == [BRIDGE])
    assert (await store.outbox.counts())["DONE"] == 1

    (told,) = sentence("t2", str(channel.id), "it does not")
    await store.outbox.say("another", [replace(told, payload='{"content": 1}')])
    sender.look()
    await discord.until(lambda: settled == [BRIDGE, "another"])
    assert (await store.outbox.counts())["LOST"] == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await store.close()
