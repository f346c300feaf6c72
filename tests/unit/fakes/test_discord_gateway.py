"""The imitation's websocket gateway is the real one's, for discord.py and for plain sockets."""

from __future__ import annotations

import contextlib

import aiohttp
import discord
import pytest
from discord.gateway import DiscordWebSocket
from discord.http import Route

from tests.fakes.discord import GENEROUS, Discord, Permission, RunningClock, StandingClock
from tests.fakes.discord.client import Bot, running
from tests.fakes.discord.raw import connect

WITHOUT_CONTENT = discord.Intents(guilds=True, guild_messages=True)


async def test_discord_py_gets_ready_with_guilds_channels_roles_and_members(fake: Discord) -> None:
    guild = fake.add_guild("acme")
    category = fake.add_channel(guild, "repositories", is_category=True)
    channel = fake.add_channel(guild, "api", category=category, topic="the API")
    role = fake.add_role(guild, "developer", permissions=Permission.MANAGE_MESSAGES)
    alice = fake.add_person(guild, "alice", role)
    thread = alice.open_thread(channel, "a thread")
    async with running(Bot(fake), fake) as bot:
        found = bot.get_guild(guild.id)
        assert found is not None
        assert (found.name, found.member_count, found.chunked) == ("acme", 3, True)
        assert [item.name for item in found.text_channels] == ["api"]
        seen = found.get_channel(channel.id)
        assert isinstance(seen, discord.TextChannel)
        assert (seen.topic, seen.category_id) == ("the API", category.id)
        assert [item.id for item in found.threads] == [thread.id]
        member = found.get_member(alice.id)
        assert member is not None
        assert [item.name for item in member.roles] == ["@everyone", "developer"]
        assert seen.permissions_for(member).manage_messages
        assert bot.application_id == fake.application.id
        assert bot.application_flags.gateway_message_content_limited
    assert fake.failures == []


async def test_the_library_is_left_as_it_was(fake: Discord) -> None:
    before = Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY
    async with running(Bot(fake), fake):
        assert fake.api_base == Route.BASE
    assert before == (Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY)


async def test_a_wrong_token_and_a_disabled_intent_are_told(fake: Discord) -> None:
    with pytest.raises(discord.LoginFailure):
        async with running(Bot(fake), fake, token="a.wrong.token"):
            raise AssertionError("a wrong token logs nobody in")
    fake.application.has_content_intent = False
    with pytest.raises(discord.PrivilegedIntentsRequired):
        async with running(Bot(fake), fake):
            raise AssertionError("a disabled intent makes nobody ready")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"token": "wrong"}, 4004),
        ({"intents": 1 << 40}, 4013),
        ({"shard": [3, 2]}, 4010),
        ({"intents": 1 << 8}, 4014),
    ],
)
async def test_what_identify_refuses(
    fake: Discord, http: aiohttp.ClientSession, fields: dict[str, object], code: int
) -> None:
    socket = await connect(fake, http)
    await socket.send(2, {"token": fake.token, "intents": 1, "properties": {}, **fields})
    assert await socket.close_code() == code


async def test_what_breaks_the_protocol_closes_the_socket(
    fake: Discord, http: aiohttp.ClientSession
) -> None:
    codes = []
    for text in ("{", '{"op": 8, "d": {}}'):
        socket = await connect(fake, http)
        await socket.send_text(text)
        codes.append(await socket.close_code())
    twice = await connect(fake, http)
    await twice.identify(fake.token)
    await twice.identify(fake.token)
    codes.append(await twice.close_code())
    unknown = await connect(fake, http)
    await unknown.identify(fake.token)
    await unknown.send(77, None)
    codes.append(await unknown.close_code())
    old = await connect(fake, http, query="v=6")
    codes.append(await old.close_code())
    large = await connect(fake, http)
    await large.send(1, "x" * 4096)
    codes.append(await large.close_code())
    busy = await connect(fake, http)
    for _ in range(121):
        await busy.send(1, None)
    codes.append(await busy.close_code())
    assert codes == [4002, 4003, 4005, 4001, 4012, 4002, 4008]


async def test_each_shard_serves_its_guilds(http: aiohttp.ClientSession) -> None:
    clock = StandingClock()
    async with Discord(clock=clock, limits=GENEROUS, guilds_per_shard=5) as fake:
        guilds = []
        for number in range(6):
            guilds.append(fake.add_guild(f"guild {number}"))
            clock.advance(0.001)
        socket = await connect(fake, http)
        await socket.identify(fake.token)
        assert await socket.close_code() == 4011
        async with running(ShardedBot(), fake) as bot:
            assert bot.shard_count == 2
            assert {item.id: item.shard_id for item in bot.guilds} == {
                guild.id: (guild.id >> 22) % 2 for guild in guilds
            }
            assert len({item.shard_id for item in bot.guilds}) == 2


class ShardedBot(discord.AutoShardedClient):
    """A client that asks how many shards it needs."""

    def __init__(self) -> None:
        super().__init__(intents=WITHOUT_CONTENT, guild_ready_timeout=0.02)

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """Without the five seconds that the real Discord wants between two."""


async def test_two_identifies_need_their_distance(http: aiohttp.ClientSession) -> None:
    clock = StandingClock()
    async with Discord(clock=clock, identify_seconds=5.0) as fake:
        told = []
        for seconds in (0.0, 4.9, 0.2):
            clock.advance(seconds)
            socket = await connect(fake, http)
            await socket.identify(fake.token)
            told.append((await socket.receive())["op"])
        assert (told, fake.gateway.refused_identifies) == ([0, 9, 0], 1)


async def test_the_compressed_stream_says_the_same(
    fake: Discord, http: aiohttp.ClientSession
) -> None:
    fake.add_guild("acme")
    plain = await connect(fake, http)
    zipped = await connect(fake, http, query="v=10&encoding=json&compress=zlib-stream")
    told = []
    for socket in (plain, zipped):
        await socket.identify(fake.token)
        told.append((await socket.until("GUILD_CREATE"))["d"])
    assert told[0] == told[1]


async def test_a_cut_session_resumes_and_hears_what_it_missed_in_order(fake: Discord) -> None:
    guild = fake.add_guild("acme")
    channel = fake.add_channel(guild, "api")
    alice = fake.add_person(guild, "alice")
    async with running(Bot(fake), fake) as bot:
        said: list[str] = []
        for code in (None, 4000, 1000):
            await fake.gateway.cut(code)
            for _ in range(3):
                said.append(str(len(said)))
                alice.say(channel, said[-1])
            await fake.until(lambda: bot.heard[-1:] == [said[-1]] and bool(fake.gateway.connected))
        assert bot.heard == said
        assert (fake.gateway.identifies, fake.gateway.resumes) == (1, 3)


async def test_op_7_and_a_resumable_op_9_resume_and_a_lost_one_begins_anew(fake: Discord) -> None:
    fake.add_guild("acme")
    async with running(Bot(fake), fake) as bot:
        fake.gateway.ask_to_reconnect()
        await fake.until(lambda: fake.gateway.resumes == 1)
        fake.gateway.invalidate(is_resumable=True)
        await fake.until(lambda: fake.gateway.resumes == 2)
        fake.gateway.invalidate(is_resumable=False)
        await fake.until(lambda: len(bot.told("ready")) == 2)
        assert fake.gateway.identifies == 2


async def test_a_refused_resume_loses_what_was_missed(fake: Discord) -> None:
    guild = fake.add_guild("acme")
    channel = fake.add_channel(guild, "api")
    alice = fake.add_person(guild, "alice")
    async with running(Bot(fake), fake) as bot:
        fake.gateway.refuses_resume = True
        await fake.gateway.cut()
        alice.say(channel, "lost")
        await fake.until(lambda: len(bot.told("ready")) == 2)
        alice.say(channel, "heard")
        await fake.until(lambda: bool(bot.heard))
        assert bot.heard == ["heard"]
        kept = bot.get_channel(channel.id)
        assert isinstance(kept, discord.TextChannel)
        history = [message.content async for message in kept.history(oldest_first=True)]
        assert history == ["lost", "heard"]


async def test_an_outage_loses_events_and_ends(fake: Discord) -> None:
    guild = fake.add_guild("acme")
    channel = fake.add_channel(guild, "api")
    alice = fake.add_person(guild, "alice")
    async with running(Bot(fake), fake) as bot:
        async with fake.gateway.outage():
            alice.say(channel, "lost")
            await fake.until(lambda: bool(bot.told("disconnect")))
        await fake.until(lambda: len(bot.told("ready")) == 2)
        alice.say(channel, "heard")
        await fake.until(lambda: bot.heard == ["heard"])


async def test_replay_reaches_back_only_so_far(http: aiohttp.ClientSession) -> None:
    clock = RunningClock()
    async with Discord(clock=clock, limits=GENEROUS, replay_events=3) as fake:
        guild = fake.add_guild("acme")
        channel = fake.add_channel(guild, "api")
        alice = fake.add_person(guild, "alice")

        async def outcome(sequence: int, session_id: str) -> list[object]:
            again = await connect(fake, http)
            await again.resume(fake.token, session_id, sequence)
            first = await again.receive()
            ended = [] if first["op"] == 0 else [first["d"]]
            while first["op"] == 0 and first["t"] != "RESUMED":
                ended.append(first["s"])
                first = await again.receive()
            with contextlib.suppress(ConnectionError):
                await fake.gateway.cut()
            return ended

        async def session() -> tuple[str, int]:
            socket = await connect(fake, http)
            await socket.identify(fake.token)
            ready = await socket.until("READY")
            created = await socket.until("GUILD_CREATE")
            await fake.gateway.cut()
            return ready["d"]["session_id"], created["s"]

        session_id, sequence = await session()
        for _ in range(3):
            alice.say(channel, "missed")
        assert await outcome(sequence, session_id) == [3, 4, 5]
        session_id, sequence = await session()
        for _ in range(4):
            alice.say(channel, "missed")
        assert await outcome(sequence, session_id) == [False]
        session_id, sequence = await session()
        clock.advance(181)
        assert await outcome(sequence, session_id) == [False]


async def test_held_dispatches_come_later_in_order(fake: Discord) -> None:
    guild = fake.add_guild("acme")
    channel = fake.add_channel(guild, "api")
    alice = fake.add_person(guild, "alice")
    async with running(Bot(fake), fake) as bot:
        with fake.gateway.holding():
            alice.say(channel, "one")
            alice.say(channel, "two")
            before = fake.gateway.heartbeats
            fake.gateway.ask_for_heartbeats()
            await fake.until(lambda: fake.gateway.heartbeats > before)
            assert bot.heard == []
        await fake.until(lambda: bot.heard == ["one", "two"])


async def test_without_the_intent_only_own_messages_and_mentions_have_content(
    fake: Discord,
) -> None:
    guild = fake.add_guild("acme")
    channel = fake.add_channel(guild, "api")
    alice = fake.add_person(guild, "alice")
    async with running(Bot(fake, intents=WITHOUT_CONTENT), fake) as bot:
        alice.say(channel, "hidden", files={"a.txt": b"a"})
        alice.say(channel, f"<@{fake.bot.id}> told")
        seen = bot.get_channel(channel.id)
        assert isinstance(seen, discord.TextChannel)
        await seen.send("mine")
        await fake.until(lambda: len(bot.told("message")) == 3)
        told = [(item.content, len(item.attachments)) for item in bot.told("message")]
        assert told == [("", 0), (f"<@{fake.bot.id}> told", 0), ("mine", 0)]
        # REST goes by the application's switch, which is on.
        assert [item.content async for item in seen.history()][-1] == "hidden"


async def test_events_stay_away_from_who_may_not_see_them(fake: Discord) -> None:
    guild = fake.add_guild("acme")
    hidden = fake.add_channel(guild, "hidden")
    shown = fake.add_channel(guild, "shown")
    fake.overwrite(hidden, fake.everyone(guild), deny=Permission.VIEW_CHANNEL)
    owner = fake.owner_of(guild)
    async with running(Bot(fake), fake) as bot:
        owner.say(hidden, "secret")
        owner.say(shown, "public")
        await fake.until(lambda: bot.heard == ["public"])


async def test_a_channel_that_opens_to_the_bot_brings_its_threads(fake: Discord) -> None:
    guild = fake.add_guild("acme")
    hidden = fake.add_channel(guild, "hidden")
    everyone = fake.everyone(guild)
    fake.overwrite(hidden, everyone, deny=Permission.VIEW_CHANNEL)
    thread = fake.owner_of(guild).open_thread(hidden, "a thread")
    async with running(Bot(fake), fake) as bot:
        assert bot.get_channel(thread.id) is None
        fake.overwrite(hidden, everyone)
        await fake.until(lambda: bot.get_channel(thread.id) is not None)


async def test_withheld_acks_make_a_zombie_that_reconnects() -> None:
    async with Discord(limits=GENEROUS, heartbeat_seconds=0.05) as fake:
        fake.add_guild("acme")
        async with running(Bot(fake, heartbeat_timeout=0.3), fake):
            fake.gateway.withholds_acks = True
            await fake.until(lambda: not fake.gateway.connected or fake.gateway.resumes > 0)
            fake.gateway.withholds_acks = False
            await fake.until(lambda: fake.gateway.resumes > 0 and bool(fake.gateway.connected))


async def test_guilds_roles_and_members_change_while_the_bot_looks(fake: Discord) -> None:
    guild = fake.add_guild("acme")
    alice = fake.add_person(guild, "alice")
    async with running(Bot(fake), fake) as bot:
        role = fake.add_role(guild, "developer")
        fake.set_roles(alice, guild, [role])
        found = bot.get_guild(guild.id)
        assert found is not None
        await fake.until(lambda: bool(bot.told("member_update")))
        member = found.get_member(alice.id)
        assert member is not None
        assert [item.id for item in member.roles] == [guild.id, role.id]
        channel = fake.add_channel(guild, "new")
        await fake.until(lambda: found.get_channel(channel.id) is not None)
        fake.rename(channel, "renamed")
        await fake.until(lambda: bool(bot.told("guild_channel_update")))
        seen = found.get_channel(channel.id)
        assert seen is not None
        assert seen.name == "renamed"
        fake.delete_channel(channel)
        await fake.until(lambda: found.get_channel(channel.id) is None)
        fake.remove_person(alice)
        await fake.until(lambda: found.get_member(alice.id) is None)
        other = fake.add_guild("other")
        await fake.until(lambda: bot.get_guild(other.id) is not None)
        fake.join(other, alice)
        await fake.until(lambda: len(bot.told("member_join")) == 1)
        fake.remove_bot(other)
        await fake.until(lambda: bot.get_guild(other.id) is None)
