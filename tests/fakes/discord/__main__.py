"""Runs the imitation by itself, with a page to write in: `python -m tests.fakes.discord`."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

from tests.fakes.discord.control import DEFAULT_TOKEN, Discord
from tests.fakes.discord.page import Page


async def serve(options: argparse.Namespace) -> None:
    """Serve until SIGINT or SIGTERM, after lines that say where."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    fake = Discord(token=options.token, host=options.host, port=options.port)
    guild = fake.add_guild(options.guild)
    channels = [fake.add_channel(guild, name) for name in options.channel or ["general"]]
    approver = fake.add_role(guild, "approver")
    page = Page(fake, guild, fake.add_person(guild, options.person, approver))
    fake.extend(page.attach)
    async with fake:
        told = {
            "page": f"{fake.http_url}/",
            "api": fake.api_base,
            "gateway": fake.gateway_url,
            "guild": guild.id,
            "role approver": approver.id,
            **{f"channel {channel.name}": channel.id for channel in channels},
        }
        sys.stdout.write("".join(f"{name}: {value}\n" for name, value in told.items()))
        sys.stdout.flush()
        await stopped.wait()
        for failure in fake.failures:
            sys.stderr.write(f"{failure}\n")


def main() -> None:
    """Parse the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.discord", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="another, in a network of one's own")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--token", default=DEFAULT_TOKEN, help="the bot's token")
    parser.add_argument("--guild", default="acme", help="the name of the guild")
    parser.add_argument("--channel", action="append", help="the name of a channel; repeatable")
    parser.add_argument("--person", default="alice", help="who writes on the page")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
