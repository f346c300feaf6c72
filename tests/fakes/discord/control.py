"""The imitation as a test holds it: who is there, what is seen, and what goes wrong."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Self, TypeVar

from aiohttp import web

from tests.fakes.discord import permissions
from tests.fakes.discord.access import telling_gains
from tests.fakes.discord.changes import Changes
from tests.fakes.discord.clock import Clock, RunningClock
from tests.fakes.discord.components import numbered
from tests.fakes.discord.faults import Faults
from tests.fakes.discord.interactions import Interactions
from tests.fakes.discord.limits import REALISTIC, Limiter, Limits
from tests.fakes.discord.model import (
    Application,
    Channel,
    ChannelType,
    Guild,
    Json,
    Member,
    Message,
    Overwrite,
    Role,
    User,
)
from tests.fakes.discord.payloads import (
    channel_json,
    guild_create_json,
    member_json,
    role_json,
    user_json,
)
from tests.fakes.discord.people import Person, Webhook
from tests.fakes.discord.permissions import NOTHING, PEOPLE, Permission
from tests.fakes.discord.record import Request
from tests.fakes.discord.seen import SeenMessage, seen
from tests.fakes.discord.server import Server
from tests.fakes.discord.sessions import Sessions
from tests.fakes.discord.snowflakes import Snowflakes
from tests.fakes.discord.wires import Wires
from tests.fakes.discord.world import Draft, World

DEFAULT_TOKEN = "MTIzNDU2Nzg5MDEyMzQ1Njc4.imitat.a-token-that-opens-nothing-anywhere"
_T = TypeVar("_T")


class Discord:
    """Discord on a loopback port, for the time of an `async with`.

    `identify_seconds` have to pass between two identifies: 5 at the real one, none unless wanted.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        limits: Limits = REALISTIC,
        token: str = DEFAULT_TOKEN,
        bot_name: str = "repobridge",
        heartbeat_seconds: float = 41.25,
        identify_seconds: float = 0.0,
        replay_events: int = 250,
        session_seconds: float = 180.0,
        guilds_per_shard: int = 2500,
        host: str = "127.0.0.1",
        port: int = 0,
        listener: socket.socket | None = None,
    ) -> None:
        self.clock: Clock = clock or RunningClock()
        self.changes = Changes()
        self.faults = Faults()
        self.limiter = Limiter(limits, self.clock)
        sessions = Sessions(replay_events=replay_events, session_seconds=session_seconds)
        self.gateway = Wires(
            self.changes,
            sessions,
            heartbeat_seconds=heartbeat_seconds,
            identify_seconds=identify_seconds,
        )
        snowflakes = Snowflakes(self.clock)
        bot = User(snowflakes.make(), bot_name, is_bot=True)
        self.application = Application(bot.id, bot, token)
        self.world = World(
            application=self.application,
            clock=self.clock,
            snowflakes=snowflakes,
            changes=self.changes,
            publish=lambda event: sessions.publish(self.world, event),
            base_url=lambda: self._server.http_url,
        )
        self.interactions = Interactions(self.world)
        self._server = Server(
            world=self.world,
            interactions=self.interactions,
            wires=self.gateway,
            limiter=self.limiter,
            faults=self.faults,
            guilds_per_shard=guilds_per_shard,
        )
        self._host, self._port, self._listener = host, port, listener

    async def __aenter__(self) -> Self:
        await self._server.start(host=self._host, port=self._port, listener=self._listener)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._server.stop()

    @property
    def token(self) -> str:
        """The only token that it accepts."""
        return self.application.token

    @property
    def bot(self) -> User:
        """The account of the bot."""
        return self.application.user

    @property
    def api_base(self) -> str:
        """What `discord.http.Route.BASE` has to be."""
        return f"{self._server.http_url}/api/v10"

    @property
    def gateway_url(self) -> str:
        """What `DiscordWebSocket.DEFAULT_GATEWAY` has to be."""
        return self._server.gateway_url

    @property
    def requests(self) -> list[Request]:
        """Every request, in the order in which they were answered."""
        return self._server.requests

    @property
    def failures(self) -> list[str]:
        """What no test should meet: unknown routes, and what the imitation can't do."""
        return self._server.failures

    @property
    def http_url(self) -> str:
        """Where the server listens."""
        return self._server.http_url

    def extend(self, attach: Callable[[web.Application], None]) -> None:
        """Let the server, which does not listen yet, have more routes."""
        self._server.extensions.append(attach)

    async def until(self, predicate: Callable[[], _T], *, timeout: float = 90.0) -> _T:
        """The first true value of a predicate, asked again after each change."""
        try:
            return await self.changes.until(predicate, timeout=timeout)
        except TimeoutError as error:
            told = [f"{item.status} {item.route}" for item in self.requests[-20:]]
            raise TimeoutError(f"last requests: {told}; failures: {self.failures}") from error

    async def until_seen(
        self,
        channel: Channel,
        predicate: Callable[[SeenMessage], object],
        *,
        by: Person | None = None,
        timeout: float = 90.0,
    ) -> SeenMessage:
        """The first message of a channel that satisfies, already there or still to come."""

        def found() -> SeenMessage | None:
            return next((item for item in self.seen(channel, by=by) if predicate(item)), None)

        message = await self.until(found, timeout=timeout)
        if message is None:
            raise AssertionError("only a message ends the wait")
        return message

    def add_guild(
        self, name: str, *, bot_permissions: Permission = PEOPLE, has_bot: bool = True
    ) -> Guild:
        """A guild that someone owns, and that the bot is in."""
        world = self.world
        owner = self._add_user(f"owner-of-{name}")
        guild = Guild(world.snowflakes.make(), name, owner.id)
        guild.roles[guild.id] = Role(guild.id, "@everyone", PEOPLE, 0)
        world.guilds[guild.id] = guild
        self._join(guild, owner)
        if has_bot:
            self.invite_bot(guild, permissions=bot_permissions)
        return guild

    def invite_bot(self, guild: Guild, *, permissions: Permission = PEOPLE) -> None:
        """Let the bot into a guild, with a role of its own."""
        role_id = self.world.snowflakes.make()
        role = Role(role_id, self.bot.name, permissions, len(guild.roles), is_managed=True)
        guild.roles[role.id] = role
        member = self._join(guild, self.bot, tells=False)
        member.role_ids.append(role.id)
        told = guild_create_json(guild, member, with_members=False)
        self.world.emit("GUILD_CREATE", told, guild)

    def remove_bot(self, guild: Guild) -> None:
        """Throw the bot out of a guild."""
        del guild.members[self.bot.id]
        self.world.emit("GUILD_DELETE", {"id": str(guild.id)}, guild)

    def add_role(
        self,
        guild: Guild,
        name: str,
        *,
        permissions: Permission = NOTHING,
        is_mentionable: bool = False,
    ) -> Role:
        """A role."""
        role_id = self.world.snowflakes.make()
        role = Role(role_id, name, permissions, len(guild.roles), is_mentionable)
        guild.roles[role.id] = role
        told = {"guild_id": str(guild.id), "role": role_json(role)}
        self.world.emit("GUILD_ROLE_CREATE", told, guild)
        return role

    def add_channel(
        self,
        guild: Guild,
        name: str,
        *,
        category: Channel | None = None,
        topic: str | None = None,
        is_category: bool = False,
    ) -> Channel:
        """A text channel (which takes its category's overwrites over), or a category."""
        channel = Channel(
            id=self.world.snowflakes.make(),
            guild=guild,
            type=ChannelType.CATEGORY if is_category else ChannelType.TEXT,
            name=name,
            position=len(guild.channels),
            parent=category,
            topic=topic,
            overwrites={} if category is None else dict(category.overwrites),
        )
        self.world.channels[channel.id] = guild.channels[channel.id] = channel
        self.world.emit("CHANNEL_CREATE", channel_json(channel), guild)
        return channel

    def rename(self, channel: Channel, name: str) -> None:
        """Rename a channel or thread."""
        if channel.thread is not None:
            self.world.update_thread(channel, name=name)
            return
        channel.name = name
        self.world.emit("CHANNEL_UPDATE", channel_json(channel), channel.guild)

    def delete_channel(self, channel: Channel) -> None:
        """Delete a channel or thread."""
        self.world.delete_channel(channel)

    def add_person(self, guild: Guild, name: str, *roles: Role, is_bot: bool = False) -> Person:
        """Someone new in a guild; `is_bot` makes it another bot."""
        member = self._join(guild, self._add_user(name, is_bot=is_bot), *roles)
        return self._person(member)

    def join(self, guild: Guild, person: Person, *roles: Role) -> Person:
        """The same person in another guild."""
        return self._person(self._join(guild, person.member.user, *roles))

    def owner_of(self, guild: Guild) -> Person:
        """Who may do everything."""
        return self._person(guild.members[guild.owner_id])

    def remove_person(self, person: Person) -> None:
        """Someone leaves the guild."""
        guild = person.member.guild
        del guild.members[person.id]
        told = {"guild_id": str(guild.id), "user": user_json(person.member.user)}
        self.world.emit("GUILD_MEMBER_REMOVE", told, guild)

    def set_roles(self, person: Person | User, guild: Guild, roles: Sequence[Role]) -> None:
        """Change someone's roles; the bot's own, given its user."""
        member = guild.members[person.id]
        with telling_gains(self.world, guild):
            member.role_ids = [role.id for role in roles]
            told = member_json(member) | {"guild_id": str(guild.id)}
            self.world.emit("GUILD_MEMBER_UPDATE", told, guild)

    def set_permissions(self, role: Role, guild: Guild, permissions: Permission) -> None:
        """Change what a role gives."""
        with telling_gains(self.world, guild):
            role.permissions = permissions
            told = {"guild_id": str(guild.id), "role": role_json(role)}
            self.world.emit("GUILD_ROLE_UPDATE", told, guild)

    def overwrite(
        self,
        channel: Channel,
        whom: Role | Person | User,
        *,
        allow: Permission = NOTHING,
        deny: Permission = NOTHING,
    ) -> None:
        """Change what someone may do in one channel."""
        kind = 0 if isinstance(whom, Role) else 1
        with telling_gains(self.world, channel.guild):
            channel.overwrites[whom.id] = Overwrite(whom.id, kind, allow, deny)
            self.world.emit("CHANNEL_UPDATE", channel_json(channel), channel.guild)

    def everyone(self, guild: Guild) -> Role:
        """The role that all have."""
        return guild.roles[guild.id]

    def add_webhook(self, channel: Channel, name: str) -> Webhook:
        """A webhook of a channel."""
        return Webhook(channel, name, world=self.world)

    def say_as_bot(
        self, channel: Channel, text: str, *, components: Iterable[Json] = ()
    ) -> Message:
        """A message that the bot wrote earlier, before the time of the test."""
        draft = Draft(content=text, components=numbered(list(components)))
        return self.world.post(channel, self.bot, draft)

    def unfurl(self, message: Message, embed: Json) -> None:
        """Show what a link in a message leads to: an edit that is nobody's."""
        message.embeds = [*message.embeds, embed]
        self.world.changed(message, is_edit=False)

    def archive_idle_threads(self) -> list[Channel]:
        """Archive the threads in which nothing happened for as long as they allow."""
        now = self.clock.wall()
        idle = [
            channel
            for channel in self.world.channels.values()
            if channel.thread is not None
            and not channel.thread.is_archived
            and now - channel.thread.archived_at >= channel.thread.auto_archive_minutes * 60
        ]
        for channel in idle:
            self.world.update_thread(channel, is_archived=True)
        return idle

    def seen(self, channel: Channel, *, by: Person | None = None) -> list[SeenMessage]:
        """The messages of a channel in order; by someone, with what only they see."""
        if by is not None and not permissions.can_see(by.member, channel):
            return []
        hidden = [
            message
            for message in self.interactions.ephemeral
            if by is not None and message.channel is channel and message.ephemeral_to == by.id
        ]
        messages = sorted([*channel.messages.values(), *hidden], key=lambda message: message.id)
        return [seen(message) for message in messages]

    def threads(self, channel: Channel) -> list[Channel]:
        """The threads of a channel, archived ones too."""
        return [
            item
            for item in channel.guild.channels.values()
            if item.thread is not None and item.parent is channel
        ]

    def _person(self, member: Member) -> Person:
        return Person(
            member, world=self.world, interactions=self.interactions, changes=self.changes
        )

    def _add_user(self, name: str, *, is_bot: bool = False) -> User:
        user = User(self.world.snowflakes.make(), name, is_bot)
        self.world.users[user.id] = user
        return user

    def _join(self, guild: Guild, user: User, *roles: Role, tells: bool = True) -> Member:
        role_ids = [role.id for role in roles]
        member = Member(user, guild, self.clock.wall(), role_ids)
        guild.members[user.id] = member
        if tells:
            told = member_json(member) | {"guild_id": str(guild.id)}
            self.world.emit("GUILD_MEMBER_ADD", told, guild)
        return member
