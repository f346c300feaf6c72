"""discord.py alone: reads the history of channels from a message on, and keeps none of it.

    python -m benchmarks.bare_history

The configuration: `token` and `api_base` of the imitation; `channels`, to be read;
`calls_per_second` and `at_once`, the limits that it sets itself.
"""

from __future__ import annotations

import asyncio
import time

import discord
from discord.http import Route

from benchmarks.commanded import Json, configuration, obey


class _Reader:
    """Reads channels beside each other, one page each."""

    def __init__(self, client: discord.Client, config: Json) -> None:
        self._client = client
        self._channels: list[str] = config["channels"]
        self._gap = 1 / config["calls_per_second"]
        self._may_read = asyncio.Semaphore(config["at_once"])
        self._next = 0.0

    async def read(self, after: str) -> Json:
        """Reads all that came after a message; the seconds that it took, and how much it was."""
        began = time.monotonic()
        counts = await asyncio.gather(*(self._one(each, after) for each in self._channels))
        return {"seconds": time.monotonic() - began, "count": sum(counts)}

    async def _one(self, channel_id: str, after: str) -> int:
        async with self._may_read:
            channel = self._client.get_partial_messageable(int(channel_id))
            now = time.monotonic()
            due = self._next = max(now, self._next + self._gap)
            await asyncio.sleep(due - now)
            history = channel.history(limit=None, after=discord.Object(int(after)))
            return len([message async for message in history])


async def main(config: Json) -> None:
    """Reads when it is told to, until nobody tells it anything any more."""
    Route.BASE = config["api_base"]
    client = discord.Client(intents=discord.Intents.none(), max_messages=None)
    await client.login(config["token"])
    await obey({"read": _Reader(client, config).read})
    await client.close()


if __name__ == "__main__":

    async def _run() -> None:
        await main(await configuration())

    asyncio.run(_run())
