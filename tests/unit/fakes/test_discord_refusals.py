"""The imitation of Discord refuses what the real API refuses, with its codes and bodies."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from tests.fakes.discord import Channel, Discord, Permission, Person
from tests.fakes.discord.raw import RawAnswer, RawRest

Json = dict[str, Any]


@pytest.fixture
def channel(fake: Discord) -> Channel:
    return fake.add_channel(fake.add_guild("acme"), "api")


@pytest.fixture
def alice(fake: Discord, channel: Channel) -> Person:
    return fake.add_person(channel.guild, "alice")


def row(*items: Json) -> Json:
    return {"type": 1, "components": list(items)}


def button(custom_id: str, **fields: object) -> Json:
    return {"type": 2, "style": 1, "label": "go", "custom_id": custom_id, **fields}


def menu(*values: str, **fields: object) -> Json:
    options = [{"label": value, "value": value} for value in values]
    return {"type": 3, "custom_id": "menu", "options": options, **fields}


MESSAGES: dict[str, tuple[Json, str, str]] = {
    "content": ({"content": "x" * 2001}, "content", "BASE_TYPE_MAX_LENGTH"),
    "nonce": ({"content": "x", "nonce": "n" * 26}, "nonce", "NONCE_TYPE_TOO_LONG"),
    "embeds": ({"embeds": [{"title": "x"}] * 11}, "embeds", "BASE_TYPE_MAX_LENGTH"),
    "embed title": (
        {"embeds": [{"title": "x" * 257}]},
        "embeds.0.title",
        "BASE_TYPE_MAX_LENGTH",
    ),
    "embed field": (
        {"embeds": [{"fields": [{"name": "n", "value": ""}]}]},
        "embeds.0.fields.0.value",
        "BASE_TYPE_REQUIRED",
    ),
    "embeds in all": (
        {"embeds": [{"description": "x" * 3001}] * 2},
        "embeds",
        "MAX_EMBED_SIZE_EXCEEDED",
    ),
    "rows": (
        {"components": [row(button(str(n))) for n in range(6)]},
        "components",
        "BASE_TYPE_MAX_LENGTH",
    ),
    "buttons": (
        {"components": [row(*(button(str(n)) for n in range(6)))]},
        "components.0.components",
        "BASE_TYPE_BAD_LENGTH",
    ),
    "custom_id": (
        {"components": [row(button("x" * 101))]},
        "components.0.components.0.custom_id",
        "BASE_TYPE_BAD_LENGTH",
    ),
    "duplicate custom_id": (
        {"components": [row(button("a"), button("a"))]},
        "components.0.components.1.custom_id",
        "COMPONENT_CUSTOM_ID_DUPLICATED",
    ),
    "label": (
        {"components": [row(button("a", label="x" * 81))]},
        "components.0.components.0.label",
        "BASE_TYPE_MAX_LENGTH",
    ),
    "options": (
        {"components": [row(menu(*(str(n) for n in range(26))))]},
        "components.0.components.0.options",
        "BASE_TYPE_BAD_LENGTH",
    ),
    "equal options": (
        {"components": [row(menu("a", "a"))]},
        "components.0.components.0.options.1.value",
        "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED",
    ),
    "a menu beside a button": (
        {"components": [row(menu("a"), button("b"))]},
        "components.0.components",
        "BASE_TYPE_BAD_LENGTH",
    ),
    "mentions": (
        {"content": "x", "allowed_mentions": {"parse": ["users"], "users": ["1"]}},
        "allowed_mentions",
        "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE",
    ),
    "an unknown message": (
        {"content": "x", "message_reference": {"message_id": "1"}},
        "message_reference",
        "REPLIES_UNKNOWN_MESSAGE",
    ),
}


@pytest.mark.parametrize("case", MESSAGES)
async def test_a_message_over_a_limit(rest: RawRest, channel: Channel, case: str) -> None:
    body, where, code = MESSAGES[case]
    answer = await rest("POST", f"/channels/{channel.id}/messages", body)
    assert (answer.status, answer.code, answer.errors_at(where)) == (400, 50035, [code])


async def test_a_message_at_the_limits_is_taken(
    fake: Discord, rest: RawRest, channel: Channel
) -> None:
    rows = [row(*(button(f"{n}{m}" + "x" * 98) for m in range(5))) for n in range(4)]
    body = {
        "content": "x" * 2000,
        "embeds": [{"description": "x" * 4096}, {"description": "x" * 1904}],
        "components": [*rows, row(menu(*(str(n) for n in range(25))))],
        "nonce": "n" * 25,
        "message_reference": {"message_id": "1", "fail_if_not_exists": False},
    }
    answer = await rest("POST", f"/channels/{channel.id}/messages", body)
    assert (answer.status, len(fake.seen(channel)[0].buttons)) == (200, 20)


@pytest.mark.parametrize("content", ["", "  \n ", None])
async def test_an_empty_message(rest: RawRest, channel: Channel, content: str | None) -> None:
    answer = await rest("POST", f"/channels/{channel.id}/messages", {"content": content})
    assert answer.body == {"message": "Cannot send an empty message", "code": 50006}


async def test_files_too_many_and_too_large(fake: Discord, rest: RawRest, channel: Channel) -> None:
    def form(count: int, size: int) -> aiohttp.FormData:
        data = aiohttp.FormData(quote_fields=False)
        data.add_field("payload_json", json.dumps({"content": "files"}))
        for number in range(count):
            data.add_field(f"files[{number}]", b"x" * size, filename=f"{number}.txt")
        return data

    path = f"/channels/{channel.id}/messages"
    many = await rest("POST", path, data=form(11, 1))
    assert (many.code, many.errors_at("attachments")) == (50035, ["BASE_TYPE_MAX_LENGTH"])
    large = await rest("POST", path, data=form(1, 10 * 1024 * 1024 + 1))
    assert (large.status, large.code) == (413, 40005)
    ten = await rest("POST", path, data=form(10, 1))
    assert (ten.status, len(fake.seen(channel)[0].files)) == (200, 10)


async def test_bad_json_bad_ids_and_a_bad_token(
    fake: Discord, rest: RawRest, channel: Channel
) -> None:
    path = f"/channels/{channel.id}/messages"
    broken = await rest("POST", path, data=b'{"content": ')
    assert (broken.status, broken.code) == (400, 50109)
    text = await rest("POST", path, data=b"content=x", content_type="text/plain")
    assert (text.status, text.code) == (400, 50035)
    bad_id = await rest("GET", "/channels/general/messages")
    assert bad_id.errors_at("channel_id") == ["NUMBER_TYPE_COERCE"]
    nobody = await rest("GET", "/users/@me", token="wrong")
    assert (nobody.status, nobody.body) == (401, {"message": "401: Unauthorized", "code": 0})
    assert fake.limiter.invalid_requests == 1


async def test_an_unknown_route_is_a_failure_that_the_test_sees(
    fake: Discord, rest: RawRest
) -> None:
    answer = await rest("GET", "/voice/regions")
    assert (answer.status, answer.body) == (404, {"message": "404: Not Found", "code": 0})
    assert fake.failures == ["unknown route: GET /api/v10/voice/regions"]
    assert (fake.requests[0].route, fake.requests[0].status) == ("GET /voice/regions", 404)


async def test_what_is_not_imitated_is_a_failure_too(
    fake: Discord, rest: RawRest, channel: Channel
) -> None:
    body = {"content": "x", "sticker_ids": ["1"]}
    assert (await rest("POST", f"/channels/{channel.id}/messages", body)).status == 501
    assert fake.failures == [
        "not imitated: messages with sticker_ids (POST /channels/{channel_id}/messages)"
    ]


async def test_what_the_imitation_trips_over_is_a_failure_too(
    fake: Discord, rest: RawRest, channel: Channel
) -> None:
    path = f"/channels/{channel.id}/messages"
    odd = await rest("POST", path, {"content": "x", "flags": "odd"})
    broken = await rest("POST", path, data=b"x", content_type="multipart/form-data")
    assert (odd.status, broken.status, len(fake.failures)) == (500, 500, 2)
    assert [item.status for item in fake.requests] == [500, 500]


@pytest.mark.parametrize(
    ("request_line", "code"),
    [
        ("GET /channels/1", 10003),
        ("GET /channels/{channel}/messages/1", 10008),
        ("PATCH /channels/{channel}/messages/{message}", 50005),
        ("DELETE /channels/{channel}/messages/{message}", 50013),
        ("PUT /channels/{channel}/messages/{message}/reactions/nothing/@me", 10014),
        ("GET /guilds/1", 10004),
        ("GET /guilds/{other}", 50001),
        ("GET /channels/{hidden}/messages", 50001),
        ("POST /channels/{mute}/messages", 50013),
        ("POST /channels/{mute}/typing", 50013),
        ("GET /guilds/{guild}/members/1", 10013),
        ("GET /guilds/{guild}/members/{stranger}", 10007),
        ("GET /users/1", 10013),
        ("GET /applications/1/commands", 10002),
        ("POST /channels/{category}/messages", 50008),
        ("POST /channels/{category}/threads", 50024),
        ("POST /interactions/1/token/callback", 10062),
        ("POST /webhooks/{bot}/token", 10015),
    ],
)
async def test_what_is_unknown_or_forbidden(
    rest: RawRest, fake: Discord, channel: Channel, request_line: str, code: int
) -> None:
    guild = channel.guild
    hidden, mute = fake.add_channel(guild, "hidden"), fake.add_channel(guild, "mute")
    everyone = fake.everyone(guild)
    fake.overwrite(hidden, everyone, deny=Permission.VIEW_CHANNEL)
    fake.overwrite(mute, fake.bot, deny=Permission.SEND_MESSAGES)
    other = fake.add_guild("other", has_bot=False)
    places = {
        "channel": channel.id,
        "guild": guild.id,
        "message": fake.owner_of(guild).say(channel, "theirs").id,
        "hidden": hidden.id,
        "mute": mute.id,
        "other": other.id,
        "stranger": fake.owner_of(other).id,
        "category": fake.add_channel(guild, "category", is_category=True).id,
        "bot": fake.application.id,
    }
    method, path = request_line.split(" ")
    body = None if method in ("GET", "DELETE", "PUT") else {"content": "x", "name": "x"}
    answer = await rest(method, path.format_map(places), body)
    assert (answer.code, fake.failures) == (code, [])


async def test_permissions_follow_roles_and_overwrites(
    fake: Discord, rest: RawRest, channel: Channel, alice: Person
) -> None:
    guild = channel.guild
    path = f"/channels/{channel.id}/messages"
    everyone = fake.everyone(guild)

    async def code_of(change: Callable[[], None]) -> int | None:
        change()
        return (await rest("POST", path, {"content": "x"})).code

    bot_role = next(role for role in guild.roles.values() if role.is_managed)
    nothing = Permission(0)
    assert await code_of(lambda: None) is None
    assert (
        await code_of(lambda: fake.overwrite(channel, everyone, deny=Permission.SEND_MESSAGES))
        == 50013
    )
    allowed = Permission.SEND_MESSAGES
    assert await code_of(lambda: fake.overwrite(channel, bot_role, allow=allowed)) is None
    assert await code_of(lambda: fake.overwrite(channel, fake.bot, deny=allowed)) == 50013
    assert (
        await code_of(lambda: fake.set_permissions(bot_role, guild, Permission.ADMINISTRATOR))
        is None
    )
    fake.set_permissions(everyone, guild, nothing)
    assert await code_of(lambda: fake.set_permissions(bot_role, guild, nothing)) == 50001


async def test_history_and_replies_need_their_permission(
    fake: Discord, rest: RawRest, channel: Channel, alice: Person
) -> None:
    message = alice.say(channel, "hers")
    fake.overwrite(channel, fake.bot, deny=Permission.READ_MESSAGE_HISTORY)
    path = f"/channels/{channel.id}/messages"
    reply = {"content": "x", "message_reference": {"message_id": str(message.id)}}
    assert (await rest("GET", path)).body == []
    assert (await rest("GET", f"{path}/{message.id}")).code == 50013
    assert (await rest("POST", path, reply)).code == 160002


@pytest.mark.parametrize(
    ("commands", "where", "code"),
    [
        ([{"name": "Status", "description": "d"}], "0.name", "APPLICATION_COMMAND_INVALID_NAME"),
        ([{"name": "a", "description": ""}], "0.description", "BASE_TYPE_REQUIRED"),
        (
            [{"name": "a", "description": "d"}] * 2,
            "1.name",
            "APPLICATION_COMMANDS_DUPLICATE_NAME",
        ),
        (
            [
                {
                    "name": "a",
                    "description": "d",
                    "options": [
                        {"name": "b", "description": "d", "type": 3},
                        {"name": "c", "description": "d", "type": 3, "required": True},
                    ],
                }
            ],
            "0.options.1",
            "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID",
        ),
    ],
)
async def test_commands_over_a_limit(
    fake: Discord, rest: RawRest, commands: list[Json], where: str, code: str
) -> None:
    answer: RawAnswer = await rest("PUT", f"/applications/{fake.application.id}/commands", commands)
    assert (answer.code, answer.errors_at(where)) == (50035, [code])
