"""Discord's websocket: every event that we live from, handed over in the order in which it came.

The library calls each handler in a task of its own, begun in the order of the events: a handler
that does not await hands its event over in that order, and so none of these awaits.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import aiohttp
import discord
import pydantic
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route

from repobridge.errors import RepoBridgeError
from repobridge.telemetry import Logger
from repobridge_gateway.bot.events import (
    edit_of,
    interaction_of,
    message_of,
    place_of,
    reaction_of,
)
from repobridge_gateway.bot.rest import Rest
from repobridge_gateway.chat import (
    ChannelGone,
    ChatEvent,
    Connected,
    Disconnected,
    GuildSeen,
    MessagesDeleted,
    OwnMessage,
    Place,
    ThreadSeen,
)
from repobridge_gateway.pacer import Pacer

_log = Logger(__name__)
_AGAIN_SECONDS = 1.0
_AGAIN_AT_MOST_SECONDS = 60.0
_UNREACHED = (discord.HTTPException, discord.GatewayNotFound, aiohttp.ClientError, OSError)
_NEEDED = {
    "read_messages": "View Channels",
    "send_messages": "Send Messages",
    "send_messages_in_threads": "Send Messages in Threads",
    "create_public_threads": "Create Public Threads",
    "read_message_history": "Read Message History",
    "attach_files": "Attach Files",
    "add_reactions": "Add Reactions",
}
_PORTAL = "https://discord.com/developers/applications"


class BotError(RepoBridgeError):
    """Discord does not take this bot as it is set up; the text says what to switch on."""


@dataclass(frozen=True, kw_only=True)
class BotSettings:
    """How to reach Discord, and as whom."""

    token: pydantic.SecretStr
    api_base: str = ""
    """Of the REST API with its version; empty: Discord's own."""
    proxy: str = ""
    """An HTTP proxy for both; empty: none."""


class Bot:
    """One bot at Discord."""

    def __init__(
        self,
        settings: BotSettings,
        *,
        hear: Callable[[ChatEvent], None],
        pacer: Pacer,
        answered: Callable[[int], None] = lambda status: None,
    ) -> None:
        """`hear` takes every event at once, and may not wait; `answered` hears the status of each
        answer of Discord's, 0 where none came.
        """
        self._settings = settings
        self._client = _Client(settings, hear, answered)
        self.rest = Rest(
            self._client.http,
            pacer,
            told=self._client.told_place,
            named=self._client.told_name,
        )

    def roles(self, guild_id: str) -> Mapping[str, str] | None:
        """The names of a guild's roles by their ids; None where Discord has not told of it yet."""
        guild = self._client.get_guild(int(guild_id)) if guild_id.isdecimal() else None
        if guild is None or guild.unavailable:
            return None
        return {str(role.id): role.name for role in guild.roles}

    def guild_of(self, channel_id: str) -> str:
        """The guild of a channel; empty where Discord has not told of it."""
        channel = self._client.get_channel(int(channel_id)) if channel_id.isdecimal() else None
        guild = getattr(channel, "guild", None)
        return str(guild.id) if guild is not None else ""

    def lacks(self, channel_id: str) -> tuple[str, ...]:
        """What the bot has to be allowed in a channel and is not, as Discord's menus name it."""
        channel = self._client.get_channel(int(channel_id)) if channel_id.isdecimal() else None
        if not isinstance(channel, discord.abc.GuildChannel) or channel.guild.unavailable:
            return ()
        may = dict(channel.permissions_for(channel.guild.me))
        return tuple(told for name, told in _NEEDED.items() if not may[name])

    async def run(self) -> None:
        """Stays connected until it is cancelled; raises BotError for what a person has to mend."""
        with _reaching(self._settings):
            try:
                await self._log_in()
                await self._stay_connected()
            except discord.PrivilegedIntentsRequired as error:
                raise BotError(_intents_missing("Message Content")) from error
            except discord.ConnectionClosed as error:
                raise BotError(
                    f"Discord closed the connection for good (code {error.code})."
                ) from error
            finally:
                await self._client.close()

    async def _stay_connected(self) -> None:
        # While it connects anew the library takes a cancellation for its own, and would go on: only
        # once it is closed it ends for sure.
        connection = asyncio.create_task(self._client.connect(reconnect=True), name="connection")
        try:
            await asyncio.wait([connection])
        finally:
            await self._client.close()
            connection.cancel()
            await asyncio.gather(connection, return_exceptions=True)
        connection.result()

    async def _log_in(self) -> None:
        """Learns who we are, whether we may read what people write, and where events are told."""
        seconds = _AGAIN_SECONDS
        while True:
            try:
                await self._client.login(self._settings.token.get_secret_value())
                flags = (await self._client.application_info()).flags
                shards, url, _ = await self._client.http.get_bot_gateway()
                break
            except discord.LoginFailure as error:
                raise BotError(
                    "Discord refuses the bot's token; make a new one under Bot at"
                    f" {_PORTAL} and give it to the gateway."
                ) from error
            except _UNREACHED as error:
                _log.warning("discord can't be reached", error=str(error), again_seconds=seconds)
                await asyncio.sleep(seconds)
                seconds = min(2 * seconds, _AGAIN_AT_MOST_SECONDS)
        if not (flags.gateway_message_content or flags.gateway_message_content_limited):
            raise BotError(_intents_missing("Message Content"))
        # The library asks only once, and looks for a session that begins anew at Discord's own
        # address, wherever the REST API is.
        self._client.shard_count = shards
        DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(url)
        assert self._client.user is not None
        self.rest.me = str(self._client.user.id)
        self.rest.application_id = str(self._client.application_id)
        _log.info("logged in", user=self._client.user.name, user_id=self.rest.me)


class _Client(discord.AutoShardedClient):
    """The library's client: no cache of messages or members, nothing kept for buttons."""

    def __init__(
        self,
        settings: BotSettings,
        hear: Callable[[ChatEvent], None],
        answered: Callable[[int], None],
    ) -> None:
        # What voice would need is not installed: nothing that an admin could mend.
        discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False
        intents = discord.Intents.none()
        intents.guilds = True
        intents.guild_messages = True
        intents.guild_reactions = True
        intents.message_content = True
        super().__init__(
            intents=intents,
            max_messages=None,
            chunk_guilds_at_startup=False,
            member_cache_flags=discord.MemberCacheFlags.none(),
            allowed_mentions=discord.AllowedMentions.none(),
            proxy=settings.proxy or None,
            http_trace=_trace(answered),
        )
        self._hear = hear

    def told_place(self, channel_id: str) -> Place | None:
        """Where a channel or thread is that we were told of."""
        found = self.get_channel(int(channel_id))
        if isinstance(found, discord.abc.GuildChannel | discord.Thread):
            me = self.user.id if self.user is not None else 0
            return place_of(found, guild_id=found.guild.id, me=me)
        return None

    def told_name(self, channel_id: str) -> str:
        """What a channel or thread is called that we were told of; empty for any other."""
        return str(getattr(self.get_channel(int(channel_id)), "name", ""))

    # ----------------------------------------------------------- connection

    async def on_shard_connect(self, shard_id: int) -> None:
        """A new session: what happened since the last one was not told."""
        self._hear(Connected(shard_id, resumed=False))

    async def on_shard_resumed(self, shard_id: int) -> None:
        """The same session: what was missed has been told by now."""
        self._hear(Connected(shard_id, resumed=True))

    async def on_shard_disconnect(self, shard_id: int) -> None:
        """The connection is gone, and the library makes another."""
        self._hear(Disconnected(shard_id))

    async def on_error(self, event_method: str, /, *args: object, **kwargs: object) -> None:
        """A handler failed: the event is lost, which its log must not be."""
        _log.error("discord event not handled", cause=sys.exc_info()[1], handler=event_method)

    # ------------------------------------------------------------- messages

    async def on_message(self, message: discord.Message) -> None:
        """Somebody wrote, or we did."""
        assert self.user is not None
        if message.author.id == self.user.id:
            if message.nonce:
                self._hear(
                    OwnMessage(
                        message_id=str(message.id),
                        channel_id=str(message.channel.id),
                        nonce=str(message.nonce),
                    )
                )
            return
        if found := message_of(message, me=self.user.id):
            self._hear(found)

    async def on_raw_message_edit(self, payload: discord.RawMessageUpdateEvent) -> None:
        """A message changed, or a link in it was unfurled."""
        if found := edit_of(payload):
            self._hear(found)

    async def on_raw_message_delete(self, payload: discord.RawMessageDeleteEvent) -> None:
        """A message is gone."""
        self._hear(
            MessagesDeleted(
                channel_id=str(payload.channel_id), message_ids=(str(payload.message_id),)
            )
        )

    async def on_raw_bulk_message_delete(self, payload: discord.RawBulkMessageDeleteEvent) -> None:
        """Many are."""
        self._hear(
            MessagesDeleted(
                channel_id=str(payload.channel_id),
                message_ids=tuple(sorted(map(str, payload.message_ids), key=int)),
            )
        )

    async def on_raw_reaction_add(self, payload: discord.RawReactionActionEvent) -> None:
        """Somebody reacted."""
        if found := reaction_of(payload, now=time.time()):
            self._hear(found)

    async def on_interaction(self, interaction: discord.Interaction) -> None:
        """Somebody clicked, chose, filled in or commanded."""
        if found := interaction_of(interaction, now=time.time()):
            self._hear(found)

    # ----------------------------------------------------- guilds, channels

    async def on_guild_available(self, guild: discord.Guild) -> None:
        """Discord has told of a guild that we are in."""
        self._hear(GuildSeen(str(guild.id)))

    async def on_guild_join(self, guild: discord.Guild) -> None:
        """Somebody has invited us."""
        self._hear(GuildSeen(str(guild.id)))

    async def on_guild_channel_delete(self, channel: discord.abc.GuildChannel) -> None:
        """A channel is gone, with all of its threads."""
        self._hear(ChannelGone(str(channel.id)))

    async def on_raw_thread_delete(self, payload: discord.RawThreadDeleteEvent) -> None:
        """A thread is gone."""
        self._hear(ChannelGone(str(payload.thread_id)))

    async def on_thread_create(self, thread: discord.Thread) -> None:
        """A thread was made."""
        self._see(thread)

    async def on_thread_join(self, thread: discord.Thread) -> None:
        """A thread was made that we are in."""
        self._see(thread)

    async def on_raw_thread_update(self, payload: discord.RawThreadUpdateEvent) -> None:
        """A thread was renamed, archived or revived."""
        if payload.thread is not None:
            self._see(payload.thread)

    def _see(self, thread: discord.Thread) -> None:
        assert self.user is not None
        self._hear(
            ThreadSeen(
                place=place_of(thread, guild_id=thread.guild.id, me=self.user.id),
                name=thread.name,
                is_archived=thread.archived,
            )
        )


def _trace(answered: Callable[[int], None]) -> aiohttp.TraceConfig:
    """Hears of every answer, those too that the library itself waits out and tries again."""
    trace = aiohttp.TraceConfig()

    async def ended(_: object, __: object, params: aiohttp.TraceRequestEndParams) -> None:
        answered(params.response.status)

    async def broke(_: object, __: object, ___: aiohttp.TraceRequestExceptionParams) -> None:
        answered(0)

    trace.on_request_end.append(ended)
    trace.on_request_exception.append(broke)
    return trace


@contextlib.contextmanager
def _reaching(settings: BotSettings) -> Iterator[None]:
    """Where the library looks for Discord is its own, for all clients of a process."""
    base, gateway = Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY
    if settings.api_base:
        Route.BASE = settings.api_base.rstrip("/")
    try:
        yield
    finally:
        Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY = base, gateway


def _intents_missing(name: str) -> str:
    return (
        f"The bot may not use the intent {name}; switch on {name} Intent under Bot, Privileged"
        f" Gateway Intents at {_PORTAL}, and start again."
    )


__all__ = ["Bot", "BotError", "BotSettings"]
