"""discord.py alone: a bot that writes each message into a pipe, its standard output.

Run as `python -m benchmarks.bare_bot API_BASE TOKEN`.
"""

from __future__ import annotations

import json
import os
import sys

import discord
from discord.http import Route


class _Bot(discord.AutoShardedClient):
    """Connected as ours is, with the intents that it needs, and nothing kept."""

    def __init__(self) -> None:
        intents = discord.Intents.none()
        intents.guilds = intents.guild_messages = intents.message_content = True
        super().__init__(intents=intents, max_messages=None, chunk_guilds_at_startup=False)

    async def on_message(self, message: discord.Message) -> None:
        """Hands a message over."""
        os.write(1, json.dumps([str(message.id), message.content]).encode() + b"\n")


if __name__ == "__main__":
    Route.BASE = sys.argv[1]
    _Bot().run(sys.argv[2], log_handler=None)
