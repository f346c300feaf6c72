"""Puts our slash commands into the menus of the guilds whose channels are served.

For a guild at a time: there they can be used at once, while Discord takes an hour over global ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from repobridge.telemetry import Logger
from repobridge_gateway.channels import Channels
from repobridge_gateway.chat import ChatError, Fault, Place
from repobridge_gateway.pacer import Overloaded
from repobridge_gateway.slashspec import make_commands

AGAIN_SECONDS = 30.0
_NEVER = frozenset({Fault.GONE, Fault.REJECTED})
_log = Logger(__name__)


class Menus(Protocol):
    """The menus of guilds; each call raises ChatError."""

    async def place(self, channel_id: str) -> Place:
        """Where a channel is."""

    async def register(self, guild_id: str, commands: Sequence[dict[str, Any]]) -> None:
        """Makes these the commands of a guild, and no others."""


class Registering:
    """Registers once for each guild, as channels come."""

    def __init__(
        self, menus: Menus, channels: Channels, *, again_seconds: float = AGAIN_SECONDS
    ) -> None:
        self._menus = menus
        self._channels = channels
        self._again_seconds = again_seconds
        self._channels_done: set[str] = set()
        self._guilds_done: set[str] = set()

    async def run(self) -> None:
        """Registers until it is cancelled; start it once Discord speaks to us."""
        while True:
            served = self._channels.served.value
            is_done = True
            for channel_id in served.keys() - self._channels_done:
                is_done &= await self._register(channel_id)
            if self._channels.served.value is not served:
                continue
            try:
                async with asyncio.timeout(None if is_done else self._again_seconds):
                    await self._channels.served.changed()
            except TimeoutError:
                pass

    async def _register(self, channel_id: str) -> bool:
        """Registers for a channel's guild; False where that has to be tried again."""
        try:
            guild_id = (await self._menus.place(channel_id)).guild_id
            if guild_id and guild_id not in self._guilds_done:
                await self._menus.register(guild_id, make_commands())
                self._guilds_done.add(guild_id)
                _log.info("commands registered", guild=guild_id)
        except (ChatError, Overloaded) as error:
            _log.warning("commands not registered", channel=channel_id, error=str(error))
            # Where the bot was not let in with its commands, somebody may invite it again.
            if not (isinstance(error, ChatError) and error.fault in _NEVER):
                return False
        self._channels_done.add(channel_id)
        return True
