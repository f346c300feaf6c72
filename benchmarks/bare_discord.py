"""discord.py alone: a bot that hears what ours hears, does to Discord the same, and nothing else.

    python -m benchmarks.bare_discord

The configuration: `token` and `api_base` of the imitation; `answer`, what people are answered in
threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Sequence

import discord
from discord.http import Route

from benchmarks.commanded import Json, configuration, obey


class _Bare(discord.AutoShardedClient):
    """With the intents that ours has, and no more of a cache."""

    def __init__(self, answer: str) -> None:
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
        )
        self._answer = answer

    async def on_message(self, message: discord.Message) -> None:
        """The acts of a turn of one line: a mark, a message that shows it, the answer."""
        if message.author == self.user or not isinstance(message.channel, discord.Thread):
            return
        await message.add_reaction("👀")
        shows = await message.channel.send("⏳ Working")
        await message.reply(self._answer)
        await shows.edit(content="-# ✓ Done")

    async def edit(self, channels: Sequence[str], edits: int, seconds: float, text: str) -> Json:
        """Has a message in each channel, and edits them in turn, so many times in so long."""
        messages = []
        for channel_id in channels:
            channel = self.get_channel(int(channel_id))
            assert isinstance(channel, discord.TextChannel)
            messages.append(await channel.send("…"))
        started = time.process_time(), time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for number, message in zip(range(edits), itertools.cycle(messages), strict=False):
                await asyncio.sleep(started[1] + number * seconds / edits - time.monotonic())
                tasks.create_task(message.edit(content=f"{number} {text}"))
        return {
            "processor": time.process_time() - started[0],
            "seconds": time.monotonic() - started[1],
        }

    async def threads(self) -> Json:
        """How many threads it knows."""
        return {"count": sum(len(guild.threads) for guild in self.guilds)}


async def main(config: Json) -> None:
    """Stays connected until nobody tells it anything any more."""
    Route.BASE = config["api_base"]
    bare = _Bare(config["answer"])
    await bare.login(config["token"])
    connected = asyncio.create_task(bare.connect())
    await bare.wait_until_ready()
    await obey({"edit": bare.edit, "threads": bare.threads})
    await bare.close()
    with contextlib.suppress(asyncio.CancelledError):
        connected.cancel()
        await connected


if __name__ == "__main__":

    async def _run() -> None:
        await main(await configuration())

    asyncio.run(_run())
