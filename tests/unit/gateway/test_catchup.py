"""What was written while nobody listened is run, in its order and once, or said not to be."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from repobridge_gateway.bot import rest
from repobridge_gateway.catchup import Ending
from repobridge_gateway.channels import FixedChannels, Served
from repobridge_gateway.chat import (
    ChatMessage,
    Connected,
    MessageEdited,
    MessagesDeleted,
)
from repobridge_gateway.inbox import InboxState
from repobridge_gateway.speech import sentence
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
)
from tests.unit.gateway.catching import a_store, listening, serving

_HISTORY = "GET /channels/{channel_id}/messages"
_DAY = 24 * 3600.0


@pytest.fixture
def served(clock: RunningClock, channel: Channel) -> Served:
    return serving(channel, created_at=clock.wall() - 1)


@pytest.fixture
async def store(discord: Discord, tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with a_store(discord, tmp_path / "store") as made:
        yield made


async def _queue(store: SqliteStore, served: Served, conversation: str = "main") -> list[str]:
    """The texts that wait in a conversation, in their order; none of them is held."""
    waiting = await store.inbox.queue(served.uid, conversation)
    assert {each.kept.state for each in waiting} <= {InboxState.READY}
    return [each.kept.message.content for each in waiting]


async def _notices(store: SqliteStore) -> list[str]:
    """What is to be said in any channel next."""
    due = await store.outbox.due()
    sendings = [await store.outbox.sending(each.send_id) for each in due]
    return [json.loads(each.piece.payload)["content"] for each in sendings if each]


def _reads(discord: Discord, channel: Channel) -> int:
    """How often a channel's history was read."""
    path = f"/channels/{channel.id}/messages"
    return sum(each.route == _HISTORY and each.path.startswith(path) for each in discord.requests)


async def test_what_was_written_since_the_bridge_was_made_is_run_in_channels_and_threads(
    discord: Discord, clock: RunningClock, channel: Channel, ann: Person, store: SqliteStore
) -> None:
    ann.say(channel, "before the bridge")
    clock.advance(10)
    served = serving(channel, created_at=clock.wall())
    clock.advance(10)
    active, archived = ann.open_thread(channel, "one"), ann.open_thread(channel, "two")
    for number in range(3):
        for place in (channel, active, archived):
            ann.say(place, f"{place.name} {number}")
    discord.owner_of(channel.guild).archive(archived)
    async with listening(discord, [served], store) as ears:
        await ears.caught_up(filled=3)
    for name, conversation in (("payments", "main"), ("one", active), ("two", archived)):
        key = conversation if isinstance(conversation, str) else str(conversation.id)
        assert await _queue(store, served, key) == [f"{name} {number}" for number in range(3)]
    assert ears.worked == [served.uid] * 3
    assert ears.said == 0


async def test_where_threads_are_no_sessions_theirs_join_the_channels_in_order(
    discord: Discord, clock: RunningClock, channel: Channel, ann: Person, store: SqliteStore
) -> None:
    served = serving(channel, created_at=clock.wall() - 1, threads_are_sessions=False)
    thread = ann.open_thread(channel, "one")
    for number, place in enumerate((channel, thread, channel, thread)):
        ann.say(place, str(number))
    async with listening(discord, [served], store) as ears:
        await ears.caught_up(filled=2)
    assert await _queue(store, served) == ["0", "1", "2", "3"]


async def test_what_is_not_for_the_agent_is_passed_over_and_not_read_again(
    discord: Discord, guild: Guild, channel: Channel, ann: Person, store: SqliteStore
) -> None:
    served = serving(channel, created_at=discord.clock.wall() - 1, require_mention=True)
    robot = discord.add_person(guild, "robot", is_bot=True)
    ann.say(channel, "to somebody else")
    ann.say(channel, f"<@{discord.bot.id}> look")
    ann.say(channel, "/status")
    robot.say(channel, f"<@{discord.bot.id}> beep")
    last = ann.say(channel, "bye")
    ours = discord.world.start_thread(channel, discord.bot, name="ours", is_private=True)
    theirs = ann.open_thread(last, "theirs")
    discord.world.join_thread(ours, ann.id)
    for thread in (ours, theirs):
        ann.say(thread, "and here?")
    async with listening(discord, [served], store) as ears:
        await ears.caught_up(filled=3)
    assert await _queue(store, served) == [f"<@{discord.bot.id}> look"]
    assert await _queue(store, served, str(ours.id)) == ["and here?"]
    assert await _queue(store, served, str(theirs.id)) == []
    assert await store.gaps.cursor(served.channel_id) == str(last.id)


async def test_live_messages_wait_until_history_has_filled_their_gap(
    discord: Discord, channel: Channel, served: Served, ann: Person, store: SqliteStore
) -> None:
    ann.say(channel, "missed")
    gate = Gate()
    discord.faults.on(_HISTORY, ActThenHold(gate))
    async with listening(discord, [served], store) as ears:
        await gate.reached()
        live = ann.say(channel, "live")
        await ears.next_taken_in(ChatMessage)
        kept = await store.inbox.find(str(live.id))
        assert kept is not None
        assert kept.state is InboxState.HELD
        assert await store.inbox.next_for(served.uid) == []
        await gate.open()
        await ears.caught_up(filled=1)
    assert await _queue(store, served) == ["missed", "live"]
    assert await store.gaps.cursor(served.channel_id) == str(live.id)


async def test_a_live_message_in_a_thread_that_nobody_listed_yet_moves_no_cursor(
    discord: Discord, channel: Channel, served: Served, ann: Person, store: SqliteStore
) -> None:
    thread = ann.open_thread(channel, "one")
    gate = Gate()
    discord.faults.on("GET /guilds/{guild_id}/threads/active", Held(gate))
    async with listening(discord, [served], store) as ears:
        ann.say(thread, "told")
        await ears.next_taken_in(ChatMessage)
        await gate.open()
        await ears.catch_up.done()
    gate = Gate()
    ann.say(thread, "missed")
    discord.faults.on("GET /guilds/{guild_id}/threads/active", Held(gate))
    async with listening(discord, [served], store) as ears:
        ann.say(thread, "live")
        await ears.next_taken_in(ChatMessage)
        await gate.open()
        await ears.catch_up.done()
    assert await _queue(store, served, str(thread.id)) == ["told", "missed", "live"]


async def test_edits_and_deletions_of_which_nobody_was_told_count_for_what_waits(
    discord: Discord, channel: Channel, served: Served, ann: Person, store: SqliteStore
) -> None:
    async with listening(discord, [served], store) as ears:
        await ears.catch_up.done()
        said = [ann.say(channel, text) for text in ("over", "taken", "taken too", "a", "b", "c")]
        await ears.next_taken_in(ChatMessage, number=6)
        for each in said[:3]:
            await store.inbox.next_for(served.uid)
            if each is said[0]:
                await store.inbox.submitted(str(each.id), version=1)
        assert (await store.inbox.next_for(served.uid))[0].kept.message.content == "taken"
    for each in (said[0], said[1], said[3]):
        ann.edit(each, f"{each.content}, better")
    ann.delete(said[4])
    await store.gaps.distrust()
    assert await store.inbox.next_for(served.uid) == []
    before = _reads(discord, channel)
    async with listening(discord, [served], store) as ears:
        await ears.caught_up(filled=1)
    assert _reads(discord, channel) == before + 1
    assert await _queue(store, served) == ["taken, better", "taken too", "a, better", "c"]
    assert [each.message.content for each in await store.inbox.orders(served.uid)] == []
    await store.inbox.submitted(str(said[1].id), version=1, is_duplicate=True)
    assert [each.message.content for each in await store.inbox.orders(served.uid)] == [
        "taken, better"
    ]
    deleted = await store.inbox.find(str(said[4].id))
    assert deleted is not None
    assert deleted.state is InboxState.WITHDRAWN


async def test_archives_are_read_back_to_where_they_were_read_before_private_ones_too(
    discord: Discord,
    channel: Channel,
    ann: Person,
    store: SqliteStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served = serving(channel, created_at=discord.clock.wall() - 1)
    monkeypatch.setattr(rest, "_ARCHIVED", 2)
    owner = discord.owner_of(channel.guild)

    def archived(name: str, *, is_private: bool = False) -> Channel:
        thread = discord.world.start_thread(
            channel, ann.member.user, name=name, is_private=is_private
        )
        if is_private:
            discord.world.join_thread(thread, discord.bot.id)
        ann.say(thread, name)
        owner.archive(thread)
        return thread

    threads = [archived(f"public {number}") for number in range(5)]
    threads += [archived(f"private {number}", is_private=True) for number in range(3)]
    async with listening(discord, [served], store) as ears:
        await ears.catch_up.done()
    for each in threads:
        assert await _queue(store, served, str(each.id)) == [each.name]
    assert [_listed(discord, kind) for kind in ("public", "private")] == [3, 2]

    late = archived("public 5")
    async with listening(discord, [served], store) as ears:
        await ears.catch_up.done()
    assert await _queue(store, served, str(late.id)) == ["public 5"]
    assert [_listed(discord, kind) for kind in ("public", "private")] == [4, 4]


def _listed(discord: Discord, kind: str) -> int:
    """How often archives of a kind were asked for."""
    return sum(each.path.endswith(f"/threads/archived/{kind}") for each in discord.requests)


async def test_edits_and_deletions_count_while_history_is_being_read(
    discord: Discord, channel: Channel, served: Served, ann: Person, store: SqliteStore
) -> None:
    first, second, third = (ann.say(channel, text) for text in ("one", "two", "three"))
    gate = Gate()
    discord.faults.on(_HISTORY, ActThenHold(gate))
    async with listening(discord, [served], store) as ears:
        await gate.reached()
        ann.edit(first, "one, better")
        ann.delete(second)
        live = ann.say(channel, "live")
        ann.edit(live, "live, better")
        ann.say(channel, "taken back")
        ann.delete(ears.discord.seen(channel)[-1])
        await ears.next_taken_in(MessageEdited, number=2)
        await ears.next_taken_in(MessagesDeleted, number=2)
        await gate.open()
        await ears.caught_up(filled=1)
    assert await _queue(store, served) == ["one, better", "three", "live, better"]
    withdrawn = await store.inbox.find(str(second.id))
    assert withdrawn is not None
    assert withdrawn.state is InboxState.WITHDRAWN
    assert third.id < live.id


async def test_beyond_fifty_messages_one_notice_offers_the_others(
    discord: Discord, channel: Channel, served: Served, ann: Person, store: SqliteStore
) -> None:
    for number in range(230):
        ann.say(channel, str(number))
    async with listening(discord, [served], store) as ears:
        await ears.caught_up(filled=1)
        assert ears.said == 1
        discord.gateway.forget_sessions()
    async with listening(discord, [served], store) as ears:
        await ears.caught_up(filled=1)
    assert await _queue(store, served) == [str(number) for number in range(50)]
    assert await _notices(store) == [
        "⚠ 180 messages from while I was away are not run: more than a day old, or beyond the"
        " first 50."
    ]
    assert await store.inbox.offered(1, is_wanted=True) == 180
    assert await _queue(store, served) == [str(number) for number in range(230)]


async def test_what_is_older_than_a_day_is_offered_and_beyond_a_month_not_read(
    discord: Discord, clock: RunningClock, channel: Channel, ann: Person, store: SqliteStore
) -> None:
    served = serving(channel, created_at=clock.wall() - 1)
    ann.say(channel, "a month ago")
    clock.advance(29.5 * _DAY)
    ann.say(channel, "yesterday")
    clock.advance(_DAY + 60)
    ann.say(channel, "today")
    async with listening(discord, [served], store) as ears:
        await ears.caught_up(filled=1)
    assert await _queue(store, served) == ["today"]
    assert [each.message.content for each in await store.inbox.expired(1)] == ["yesterday"]


async def test_a_gateway_that_dies_while_a_gap_is_filled_takes_up_where_it_was(
    discord: Discord, channel: Channel, served: Served, ann: Person, store: SqliteStore
) -> None:
    for number in range(250):
        ann.say(channel, str(number))
    gate = Gate()
    discord.faults.on(_HISTORY, ActThenHold(gate), times=2)
    async with listening(discord, [served], store):
        await gate.step()
        await gate.reached(2)
    (gap,) = await store.gaps.gaps()
    assert (gap.filled, gap.expired, gap.is_complete) == (50, 50, False)
    await gate.open()
    await discord.until(lambda: _reads(discord, channel) == 2)
    async with listening(discord, [served], store) as ears:
        await ears.caught_up(filled=1)
    # The first page too: what waits of it may have been edited meanwhile.
    assert _reads(discord, channel) == 5
    assert len(await _queue(store, served)) == 50
    assert len(await store.inbox.expired(gap.gap_id)) == 200
    assert await _notices(store) == [
        "⚠ 200 messages from while I was away are not run: more than a day old, or beyond the"
        " first 50."
    ]


async def test_what_is_missed_again_while_a_gap_is_filled_is_read_too(
    discord: Discord, channel: Channel, served: Served, ann: Person, store: SqliteStore
) -> None:
    ann.say(channel, "missed")
    gate = Gate()
    discord.faults.on(_HISTORY, ActThenHold(gate))
    async with listening(discord, [served], store) as ears:
        await gate.reached()
        ann.say(channel, "live")
        await ears.next_taken_in(ChatMessage)
        async with discord.gateway.outage():  # and RESUME is refused
            ann.say(channel, "missed again")
        await ears.next(Connected, number=2)
        ann.say(channel, "live again")
        await ears.next_taken_in(ChatMessage, number=2)
        await gate.open()
        await ears.caught_up(filled=1)
    assert await _queue(store, served) == ["missed", "live", "missed again", "live again"]


async def test_a_resumed_connection_missed_nothing(
    discord: Discord, channel: Channel, served: Served, ann: Person, store: SqliteStore
) -> None:
    async with listening(discord, [served], store) as ears:
        await ears.caught_up(filled=1)
        reads = _reads(discord, channel)
        async with discord.gateway.outage(loses_events=False):
            ann.say(channel, "told later")
        await ears.next(Connected, number=2)
        await ears.next_taken_in(ChatMessage)
        assert [each.resumed for each in ears.of(Connected)] == [False, True]
        assert await _queue(store, served) == ["told later"]
        assert _reads(discord, channel) == reads


async def test_an_event_that_was_not_kept_comes_from_history_in_channels_and_unknown_threads(
    discord: Discord, channel: Channel, served: Served, ann: Person, store: SqliteStore
) -> None:
    thread = ann.open_thread(channel, "one")
    async with listening(discord, [served], store) as ears:
        await ears.caught_up(filled=2)
        ears.drops = {"dropped", "dropped there"}
        for text in ("kept", "dropped", "kept after"):
            ann.say(channel, text)
        ann.say(thread, "dropped there")
        await ears.next_taken_in(ChatMessage, number=4)
        await ears.caught_up(filled=4)
    assert await _queue(store, served) == ["kept", "dropped", "kept after"]
    assert await _queue(store, served, str(thread.id)) == ["dropped there"]


async def test_a_thread_made_while_we_listen_needs_no_history(
    discord: Discord, channel: Channel, served: Served, ann: Person, store: SqliteStore
) -> None:
    async with listening(discord, [served], store) as ears:
        await ears.caught_up(filled=1)
        await ears.catch_up.done()
        thread = ann.open_thread(channel, "one")
        ann.say(thread, "in it")
        await ears.next_taken_in(ChatMessage)
        await ears.caught_up(filled=1)
        assert await _queue(store, served, str(thread.id)) == ["in it"]
    assert _reads(discord, thread) == 0


async def test_a_bridge_that_is_made_while_we_listen_gets_what_was_written_before(
    discord: Discord, guild: Guild, served: Served, ann: Person, store: SqliteStore
) -> None:
    channels = FixedChannels([served])
    async with listening(discord, channels, store) as ears:
        await ears.caught_up(filled=1)
        other = discord.add_channel(guild, "ledger")
        added = serving(other, created_at=discord.clock.wall() - 1)
        ann.say(other, "hello?")
        channels.served.set({each.channel_id: each for each in (served, added)})
        await ears.caught_up(filled=2)
    assert await _queue(store, added) == ["hello?"]


@pytest.mark.parametrize(
    "struck", [Status(503), Cloudflare(429), Cloudflare(503), Reset(acts=True)]
)
async def test_what_fails_for_a_while_is_tried_again(
    *,
    discord: Discord,
    channel: Channel,
    served: Served,
    ann: Person,
    store: SqliteStore,
    struck: Status | Cloudflare | Reset,
) -> None:
    ann.say(channel, "missed")
    discord.faults.on(_HISTORY, struck, times=2)
    async with listening(discord, [served], store) as ears:
        await ears.caught_up(filled=1)
    assert await _queue(store, served) == ["missed"]
    assert _reads(discord, channel) == 3


async def test_a_channel_that_we_may_not_read_holds_nothing_back(
    discord: Discord, guild: Guild, channel: Channel, served: Served, store: SqliteStore
) -> None:
    discord.overwrite(channel, discord.everyone(guild), deny=Permission.VIEW_CHANNEL)
    async with listening(discord, [served], store) as ears:
        await ears.caught_up(unreadable=1)
    assert await store.gaps.gaps() == []


async def test_a_channel_that_is_gone_ends_with_its_gap(
    discord: Discord, channel: Channel, served: Served, ann: Person, store: SqliteStore
) -> None:
    ann.say(channel, "missed")
    discord.delete_channel(channel)
    await store.outbox.say("uid", sentence("t1", str(channel.id), "nobody will read it"))
    async with listening(discord, [served], store) as ears:
        await ears.caught_up(gone=1)
        assert ears.settled == ["uid"]
    assert (await store.gaps.gaps(), await store.inbox.work()) == ([], {})


async def test_an_hour_of_five_hundred_messages_in_twenty_channels_loses_none(
    discord: Discord, guild: Guild, ann: Person, store: SqliteStore
) -> None:
    channels = [discord.add_channel(guild, f"team-{number}") for number in range(20)]
    served = [serving(each, created_at=discord.clock.wall() - 1) for each in channels]
    async with listening(discord, served, store) as ears:
        await ears.caught_up(filled=20)
        async with discord.gateway.outage():
            for number in range(25):
                for each in channels:
                    ann.say(each, str(number))
        await ears.next(Connected, number=2)
        for each in channels:
            ann.say(each, "now")
        await ears.next_taken_in(ChatMessage, number=20)
        await ears.caught_up(filled=40)
    for one in served:
        assert await _queue(store, one) == [*map(str, range(25)), "now"]


async def test_two_hundred_channels_are_caught_up_with_few_requests(
    discord: Discord, guild: Guild, ann: Person, store: SqliteStore
) -> None:
    channels = [discord.add_channel(guild, f"team-{number}") for number in range(200)]
    served = [serving(each, created_at=discord.clock.wall() - 1) for each in channels]
    for each in channels:
        ann.say(each, "missed")
    async with listening(discord, served, store) as ears:
        await ears.caught_up(filled=200)
        assert ears.catch_up.endings == {Ending.FILLED: 200}
    work = await store.inbox.work()
    assert {uid: told.waiting for uid, told in work.items()} == {each.uid: 1 for each in served}
    assert sum(each.route == _HISTORY for each in discord.requests) == 200


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 50))]
)
async def test_gateways_that_die_anywhere_while_they_catch_up_bring_in_every_message(
    *, discord: Discord, guild: Guild, ann: Person, store: SqliteStore, seed: int
) -> None:
    random = Random(seed)
    faults = (Status(503), Cloudflare(429), Reset(acts=True), Reset(acts=False))
    channels = [discord.add_channel(guild, f"team-{number}") for number in range(3)]
    served = [serving(each, created_at=discord.clock.wall() - 1) for each in channels]
    threads = [ann.open_thread(each, "a thing") for each in channels]
    places = [(one, "main", each) for one, each in zip(served, channels, strict=True)]
    places += [(one, str(each.id), each) for one, each in zip(served, threads, strict=True)]
    expected: dict[tuple[str, str], list[str]] = {(one.uid, key): [] for one, key, _ in places}

    def say(count: int) -> None:
        for _ in range(count):
            one, key, place = random.choice(places)
            told = expected[one.uid, key]
            ann.say(place, str(len(told)))
            told.append(str(len(told)))

    for _ in range(8):
        say(random.randrange(12))
        for _ in range(random.randrange(3)):
            discord.faults.on(_HISTORY, random.choice(faults))
        before, further = len(discord.requests), random.randrange(12)
        async with listening(discord, served, store) as ears:
            say(random.randrange(4))
            await discord.until(lambda: len(discord.requests) >= before + further)  # noqa: B023
            say(random.randrange(4))
            if random.random() < 0.3:
                await ears.catch_up.done()
            for _ in range(random.randrange(60)):
                await asyncio.sleep(0)  # somewhere between two commits
    discord.faults.clear()
    async with listening(discord, served, store) as ears:
        say(3)
        await ears.next_taken_in(ChatMessage, number=3)
        await ears.catch_up.done()
    for (uid, key), texts in expected.items():
        one = next(each for each in served if each.uid == uid)
        assert await _queue(store, one, key) == texts
