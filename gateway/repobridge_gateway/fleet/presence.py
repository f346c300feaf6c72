"""What the fleet of a cluster and the bot have to tell each other.

Only Discord knows in which guild a channel is, and only the fleet for which channels that matters.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from repobridge.telemetry import Logger
from repobridge_gateway.bot.rest import Rest
from repobridge_gateway.chat import ChatError, ChatEvent, Connected, Disconnected
from repobridge_gateway.fleet.kubernetes import KubernetesFleet

_AGAIN_SECONDS = 60.0
_log = Logger(__name__)


class Presence:
    """Whether Discord speaks to us, and where the channels are that nobody has placed yet."""

    def __init__(self, fleet: KubernetesFleet) -> None:
        self._fleet = fleet
        self._shards: set[int] = set()

    @property
    def is_connected(self) -> bool:
        """Whether some of Discord's connections stand."""
        return bool(self._shards)

    def hear(self, event: ChatEvent) -> None:
        """Takes what Discord says of its connections."""
        match event:
            case Connected(shard_id=shard):
                self._shards.add(shard)
            case Disconnected(shard_id=shard):
                self._shards.discard(shard)

    async def run(self, rest: Rest) -> None:
        """Places channels until it is cancelled."""
        while True:
            wanted = self._fleet.unplaced.value
            for channel_id in wanted:
                try:
                    place = await rest.place(channel_id)
                except ChatError as error:
                    _log.warning("channel not found", channel_id=channel_id, error=str(error))
                else:
                    self._fleet.placed(channel_id, place.guild_id)
            with suppress(TimeoutError):
                async with asyncio.timeout(_AGAIN_SECONDS if wanted else None):
                    await self._changed_from(wanted)

    async def _changed_from(self, wanted: frozenset[str]) -> None:
        await self._fleet.unplaced.until(lambda now: now != wanted)
