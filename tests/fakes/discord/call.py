"""One request to the REST API, as its handlers see it, and the table of routes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import unquote

from aiohttp import BodyPartReader, web

from tests.fakes.discord import permissions
from tests.fakes.discord.model import Channel, Guild, Json, Member, Message, Upload
from tests.fakes.discord.permissions import Permission
from tests.fakes.discord.refusal import ApiRefusal, form_error, refusal
from tests.fakes.discord.snowflakes import parse
from tests.fakes.discord.world import World

if TYPE_CHECKING:
    from tests.fakes.discord.interactions import Interactions

Result: TypeAlias = Json | list[Json] | None
_FILE = re.compile(r"files\[(\d+)\]")


@dataclass(frozen=True)
class Call:
    """A request whose route is known; the bot sends it."""

    world: World
    interactions: Interactions
    params: Mapping[str, str]
    query: Mapping[str, str]
    body: Any = None
    uploads: Mapping[int, Upload] = field(default_factory=dict)

    @property
    def fields(self) -> Json:
        """The body, which has to be an object."""
        if self.body is None:
            return {}
        if not isinstance(self.body, dict):
            message = "Only dictionaries may be used in a DictType"
            raise ApiRefusal(
                400,
                50035,
                "Invalid Form Body",
                errors={"_errors": [{"code": "DICT_TYPE_CONVERT", "message": message}]},
            )
        return self.body

    def id_of(self, name: str) -> int:
        """An id of the path."""
        return parse(self.params[name], field=name)

    def guild(self) -> tuple[Guild, Member]:
        """The guild of the path, with the bot in it."""
        guild = self.world.guilds.get(self.id_of("guild_id"))
        if guild is None:
            raise refusal(10004)
        bot = guild.members.get(self.world.bot.id)
        if bot is None:
            raise refusal(50001)
        return guild, bot

    def channel(self, *needed: Permission) -> Channel:
        """The channel of the path, in which the bot may do what is needed."""
        channel = self.world.channels.get(self.id_of("channel_id"))
        if channel is None:
            raise refusal(10003)
        bot = channel.guild.members.get(self.world.bot.id)
        if bot is None or not permissions.can_see(bot, channel):
            raise refusal(50001)
        self.demand(channel, *needed)
        return channel

    def allowed(self, channel: Channel) -> Permission:
        """What the bot may do in a channel."""
        bot = channel.guild.members.get(self.world.bot.id)
        return Permission(0) if bot is None else permissions.in_channel(bot, channel)

    def demand(self, channel: Channel, *needed: Permission) -> None:
        """Refuse when a permission is missing."""
        given = self.allowed(channel)
        if any(not given & permission for permission in needed):
            raise refusal(50013)

    def message(self, channel: Channel) -> Message:
        """The message of the path."""
        message = channel.messages.get(self.id_of("message_id"))
        if message is None:
            raise refusal(10008)
        return message

    def number(self, name: str, *, default: int, least: int, most: int) -> int:
        """A number of the query."""
        text = self.query.get(name, str(default))
        if not text.lstrip("-").isdigit():
            raise form_error(name, "NUMBER_TYPE_COERCE", f'Value "{text}" is not int.')
        if int(text) > most:
            message = f"int value should be less than or equal to {most}."
            raise form_error(name, "NUMBER_TYPE_MAX", message)
        if int(text) < least:
            message = f"int value should be greater than or equal to {least}."
            raise form_error(name, "NUMBER_TYPE_MIN", message)
        return int(text)


Handler = Callable[[Call], Result]


class Route:
    """A route of the API; `needs_token` is false where the path holds one."""

    def __init__(
        self,
        method: str,
        template: str,
        handler: Handler,
        *,
        status: int = 200,
        needs_token: bool = True,
    ) -> None:
        self.method = method
        self.template = template
        self.handler = handler
        self.status = status
        self.needs_token = needs_token
        self._pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template))

    @property
    def name(self) -> str:
        """What tests and limits call it."""
        return f"{self.method} {self.template}"

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """The parameters, when this route is asked for."""
        found = self._pattern.fullmatch(path) if method == self.method else None
        return None if found is None else {k: unquote(v) for k, v in found.groupdict().items()}


async def read_body(http: web.Request) -> tuple[Any, dict[int, Upload]]:
    """The JSON of a request, and its files by number."""
    if http.content_type == "multipart/form-data":
        return await _read_form(http)
    raw = await http.read()
    if not raw:
        return None, {}
    if http.content_type != "application/json":
        message = "Expected \"Content-Type\" header to be one of {'application/json'}."
        raise ApiRefusal(
            400,
            50035,
            "Invalid Form Body",
            errors={"_errors": [{"code": "CONTENT_TYPE_INVALID", "message": message}]},
        )
    return _parse(raw), {}


async def _read_form(http: web.Request) -> tuple[Any, dict[int, Upload]]:
    body: Any = None
    files: dict[int, Upload] = {}
    reader = await http.multipart()
    while (part := await reader.next()) is not None:
        if not isinstance(part, BodyPartReader):
            raise refusal(50109)
        if part.name == "payload_json":
            body = _parse(bytes(await part.read()))
        elif found := _FILE.fullmatch(part.name or ""):
            data = bytes(await part.read())
            files[int(found[1])] = Upload(part.filename or "unknown", data)
    return body, files


def _parse(raw: bytes) -> Any:
    try:
        return json.loads(raw.decode())
    except (ValueError, RecursionError) as error:
        raise refusal(50109) from error
