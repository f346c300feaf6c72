"""The imitation of Discord in a process of its own, with somebody who writes at a given rate.

    python -m benchmarks.written_discord

The configuration: `channels`, how many there are; `limits`, false for none. Times are of the
machine's monotonic clock, which all processes share.
"""

from __future__ import annotations

import asyncio
import time

from benchmarks.commanded import Json, configuration, obey
from tests.fakes.discord import GENEROUS, REALISTIC, Discord

_BREATH = 8


class _Writing:
    """What the benchmark has somebody write."""

    def __init__(self, discord: Discord, *, channels: int) -> None:
        self._discord = discord
        guild = discord.add_guild("acme")
        self._channels = [discord.add_channel(guild, f"channel-{each}") for each in range(channels)]
        self._person = discord.add_person(guild, "ann")

    @property
    def surroundings(self) -> Json:
        """How to reach it, and the channels in their order."""
        return {
            "token": self._discord.token,
            "api_base": self._discord.api_base,
            "channels": [str(each.id) for each in self._channels],
        }

    async def connected(self) -> Json:
        """Waits until somebody has a session; when that was seen."""
        await self._discord.until(lambda: self._discord.gateway.connected, timeout=60)
        return {"at": time.monotonic()}

    async def write(self, text: str, count: int, a_second: float, first: int = 0) -> Json:
        """Writes from channel to channel, each message at its time, however late the others are.

        Tells of each when it was due. A rate of 0 writes all of them now.
        """
        began = time.monotonic()
        written: list[tuple[str, float]] = []
        for number in range(count):
            due = began + number / a_second if a_second else began
            while (left := due - time.monotonic()) > 0:
                await asyncio.sleep(left)
            channel = self._channels[(first + number) % len(self._channels)]
            written.append((str(self._person.say(channel, text).id), due))
            if not number % _BREATH:
                await asyncio.sleep(0)  # the sockets want to be written to, however late we are
        return {"written": written}

    async def failures(self) -> Json:
        """What nobody should have asked for."""
        return {"failures": self._discord.failures}


async def main(config: Json) -> None:
    """Serves until nobody tells it anything any more."""
    discord = Discord(limits=REALISTIC if config["limits"] else GENEROUS)
    writing = _Writing(discord, channels=config["channels"])
    async with discord:
        acts = (writing.connected, writing.write, writing.failures)
        await obey({act.__name__: act for act in acts}, ready=writing.surroundings)


if __name__ == "__main__":

    async def _run() -> None:
        await main(await configuration())

    asyncio.run(_run())
