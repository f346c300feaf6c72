"""Tells the bot of the threads in channels that a change of permissions opens to it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests.fakes.discord.model import Channel, Guild
from tests.fakes.discord.payloads import thread_json, thread_member_json
from tests.fakes.discord.permissions import can_see
from tests.fakes.discord.world import World


@contextlib.contextmanager
def telling_gains(world: World, guild: Guild) -> Iterator[None]:
    """Around a change: afterwards the open threads of newly visible channels are told."""
    before = _visible(world, guild)
    yield
    gained = _visible(world, guild) - before
    parents = [str(item.id) for item in gained if item.thread is None]
    if not parents:
        return
    me = world.bot.id
    threads = [item for item in gained if item.thread is not None and not item.thread.is_archived]
    data = {
        "guild_id": str(guild.id),
        "channel_ids": parents,
        "threads": [thread_json(item, for_user=me) for item in threads],
        "members": [
            thread_member_json(item, me)
            for item in threads
            if item.thread is not None and me in item.thread.members
        ],
    }
    world.emit("THREAD_LIST_SYNC", data, guild)


def _visible(world: World, guild: Guild) -> set[Channel]:
    bot = guild.members.get(world.bot.id)
    return {item for item in guild.channels.values() if bot is not None and can_see(bot, item)}
