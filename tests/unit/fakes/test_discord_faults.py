"""Limits of the imitation of Discord, and the faults that a test can put on its routes."""

from __future__ import annotations

import asyncio

import aiohttp
import discord
import pytest

from tests.fakes.discord import (
    GENEROUS,
    ActThenHold,
    Channel,
    Cloudflare,
    Discord,
    Fault,
    Gate,
    Held,
    Limit,
    Limits,
    Reset,
    StandingClock,
    Status,
    TooMany,
)
from tests.fakes.discord.client import Bot, running
from tests.fakes.discord.raw import RawAnswer, RawRest

CREATE = "POST /channels/{channel_id}/messages"
EDIT = "PATCH /channels/{channel_id}/messages/{message_id}"


@pytest.fixture
def channel(fake: Discord) -> Channel:
    return fake.add_channel(fake.add_guild("acme"), "api")


def told(answer: RawAnswer) -> tuple[int, str | None, str | None]:
    headers = answer.headers
    return (
        answer.status,
        headers.get("X-RateLimit-Remaining"),
        headers.get("X-RateLimit-Reset-After"),
    )


async def test_a_channel_takes_five_messages_in_five_seconds(
    http: aiohttp.ClientSession,
) -> None:
    clock = StandingClock()
    async with Discord(clock=clock) as fake:
        rest = RawRest(fake, http)
        guild = fake.add_guild("acme")
        paths = [
            f"/channels/{fake.add_channel(guild, name).id}/messages" for name in ("api", "web")
        ]
        answers = [told(await rest("POST", paths[0], {"content": "x"})) for _ in range(5)]
        assert answers == [(200, str(left), "5.000") for left in (4, 3, 2, 1, 0)]
        clock.advance(1.5)
        over = await rest("POST", paths[0], {"content": "x"})
        assert told(over) == (429, "0", "3.500")
        assert over.body == {
            "message": "You are being rate limited.",
            "retry_after": 3.5,
            "global": False,
        }
        assert (over.headers["Content-Type"], over.headers["Via"], over.headers["Retry-After"]) == (
            "application/json",
            "1.1 google",
            "4",
        )
        other = await rest("POST", paths[1], {"content": "x"})
        assert told(other) == (200, "4", "5.000")
        assert other.headers["X-RateLimit-Bucket"] == over.headers["X-RateLimit-Bucket"]
        clock.advance(3.5)
        assert told(await rest("POST", paths[0], {"content": "x"})) == (200, "4", "5.000")
        assert fake.limiter.invalid_requests == 1


async def test_edits_of_old_messages_have_a_limit_of_their_own(
    http: aiohttp.ClientSession,
) -> None:
    clock = StandingClock()
    async with Discord(clock=clock) as fake:
        rest = RawRest(fake, http)
        channel = fake.add_channel(fake.add_guild("acme"), "api")
        old = fake.say_as_bot(channel, "old")
        clock.advance(3601)
        new = fake.say_as_bot(channel, "new")
        path = f"/channels/{channel.id}/messages"
        olds = [await rest("PATCH", f"{path}/{old.id}", {"content": "x"}) for _ in range(4)]
        assert [item.status for item in olds] == [200, 200, 200, 429]
        assert (olds[3].code, olds[3].body["retry_after"]) == (30046, 20.0)
        assert (await rest("PATCH", f"{path}/{new.id}", {"content": "x"})).status == 200


async def test_reactions_share_a_bucket_of_one(http: aiohttp.ClientSession) -> None:
    clock = StandingClock()
    async with Discord(clock=clock) as fake:
        rest = RawRest(fake, http)
        channel = fake.add_channel(fake.add_guild("acme"), "api")
        message = fake.say_as_bot(channel, "x")
        path = f"/channels/{channel.id}/messages/{message.id}/reactions"
        first = await rest("PUT", f"{path}/%F0%9F%91%80/@me")
        second = await rest("DELETE", f"{path}/%F0%9F%91%80/@me")
        assert (told(first), told(second)) == ((204, "0", "0.250"), (429, "0", "0.250"))


async def test_fifty_a_second_in_all_and_interactions_apart(http: aiohttp.ClientSession) -> None:
    clock = StandingClock()
    async with Discord(clock=clock, limits=Limits(other=Limit(1000, 1.0))) as fake:
        rest = RawRest(fake, http)
        statuses = [(await rest("GET", "/users/@me")).status for _ in range(50)]
        assert set(statuses) == {200}
        over = await rest("GET", "/users/@me")
        assert (over.status, over.body["global"], over.body["retry_after"]) == (429, True, 1.0)
        assert (over.headers["X-RateLimit-Global"], over.headers["X-RateLimit-Scope"]) == (
            "true",
            "global",
        )
        assert (await rest("POST", "/interactions/1/x/callback", {"type": 4})).code == 10062
        clock.advance(1)
        assert (await rest("GET", "/users/@me")).status == 200


async def test_too_many_invalid_requests_ban_the_address(http: aiohttp.ClientSession) -> None:
    clock = StandingClock()
    async with Discord(clock=clock, limits=Limits(invalid_in_ten_minutes=3)) as fake:
        rest = RawRest(fake, http)
        for _ in range(3):
            assert (await rest("GET", "/users/@me", token="wrong")).status == 401
        banned = await rest("GET", "/users/@me")
        assert (banned.status, "Via" in banned.headers) == (429, False)
        assert "Cloudflare" in banned.body
        clock.advance(601)
        assert (await rest("GET", "/users/@me")).status == 200


async def test_discord_py_waits_where_the_headers_tell_it_to() -> None:
    limits = GENEROUS.with_route(CREATE, Limit(2, 0.05))
    async with Discord(limits=limits) as fake:
        channel = fake.add_channel(fake.add_guild("acme"), "api")
        async with running(Bot(fake), fake) as bot:
            place = bot.get_channel(channel.id)
            assert isinstance(place, discord.TextChannel)
            for number in range(5):
                await place.send(str(number))
        assert [item.content for item in fake.seen(channel)] == list("01234")
        assert [item.status for item in fake.requests if item.route == CREATE] == [200] * 5


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Status(503, "Service Unavailable"), 503),
        (Cloudflare(503), 503),
        (TooMany(via=False), 429),
    ],
)
async def test_faults_that_discord_py_raises(
    fake: Discord, channel: Channel, fault: Fault, status: int
) -> None:
    async with running(Bot(fake), fake) as bot:
        place = bot.get_channel(channel.id)
        assert isinstance(place, discord.TextChannel)
        fake.faults.on(CREATE, fault)
        with pytest.raises(discord.HTTPException) as raised:
            await place.send("hello")
        assert (raised.value.status, fake.seen(channel)) == (status, [])
        await place.send("again")
    assert [item.content for item in fake.seen(channel)] == ["again"]


async def test_a_429_with_via_is_waited_for_as_often_as_it_comes(
    fake: Discord, channel: Channel
) -> None:
    async with running(Bot(fake), fake) as bot:
        place = bot.get_channel(channel.id)
        assert isinstance(place, discord.TextChannel)
        fake.faults.on(CREATE, TooMany(0.01), times=2)
        fake.faults.on(CREATE, TooMany(0.01, is_global=True))
        await place.send("hello")
    sent = [item.status for item in fake.requests if item.route == CREATE]
    assert (sent, fake.limiter.invalid_requests, fake.faults.waiting) == (
        [429, 429, 429, 200],
        3,
        0,
    )


@pytest.mark.parametrize("acts", [False, True])
async def test_a_reset_connection_before_or_after_acting(
    fake: Discord, channel: Channel, acts: bool
) -> None:
    async with running(Bot(fake), fake) as bot:
        place = bot.get_channel(channel.id)
        assert isinstance(place, discord.TextChannel)
        fake.faults.on(CREATE, Reset(acts=acts))
        with pytest.raises((OSError, aiohttp.ClientError)):
            await place.send("hello", nonce="n1")
        assert len(fake.seen(channel)) == acts
        await place.send("hello", nonce="n1")
        assert [item.content for item in fake.seen(channel)] == ["hello"]
        assert [item.status for item in fake.requests if item.route == CREATE] == [0, 200]


async def test_an_answer_can_be_held_before_and_after_acting(
    fake: Discord, channel: Channel
) -> None:
    before, after = Gate(), Gate()
    async with running(Bot(fake), fake) as bot:
        place = bot.get_channel(channel.id)
        assert isinstance(place, discord.TextChannel)
        fake.faults.on(CREATE, Held(before), ActThenHold(after))
        sending = asyncio.create_task(place.send("first"))
        await before.reached()
        assert fake.seen(channel) == []
        await before.open()
        await sending
        sending = asyncio.create_task(place.send("second"))
        await after.reached()
        assert [item.content for item in fake.seen(channel)] == ["first", "second"]
        # The event is there before the answer, as it often is.
        await fake.until(lambda: len(bot.told("message")) == 2)
        assert not sending.done()
        await after.open()
        assert (await sending).content == "second"


async def test_faults_strike_the_route_they_are_put_on(fake: Discord, rest: RawRest) -> None:
    with pytest.raises(ValueError, match="there is no POST /channels/messages"):
        fake.faults.on("POST /channels/messages", Status(500))
    fake.faults.on(CREATE, Status(500))
    assert (await rest("GET", "/users/@me")).status == 200
    fake.faults.clear()
    fake.faults.on("*", Status(502), times=2)
    statuses = [(await rest("GET", "/users/@me")).status for _ in range(3)]
    assert statuses == [502, 502, 200]
