"""Where the gateway is measured: the imitation of Discord, replayed runners, and the gateway.

Each is a process of its own, so that none takes another's time from its event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.commanded import Commanded, commanded
from benchmarks.recording import Recording
from repobridge_gateway.pacer import PER_SECOND

UNLIMITED = 100_000.0
_SETTLE_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class ChatPlace:
    """The processes, and the channels in their order; each has a bridge and a runner."""

    discord: Commanded
    gateway: Commanded
    runners: Commanded
    channels: tuple[str, ...]
    directory: Path

    @asynccontextmanager
    async def bare(self) -> AsyncIterator[Commanded]:
        """A bot of discord.py alone, connected beside ours."""
        async with bare_bot(self.directory, self.discord) as bare:
            yield bare


@asynccontextmanager
async def bare_bot(
    directory: Path, discord: Commanded, *, answer: str = ""
) -> AsyncIterator[Commanded]:
    """A bot of discord.py alone."""
    config = {**discord.told, "answer": answer}
    async with commanded("benchmarks.bare_discord", config, log=directory / "bare.log") as bare:
        yield bare


@asynccontextmanager
async def chat_place(
    directory: Path,
    recording: Recording,
    *,
    guilds: int = 1,
    channels: int = 1,
    is_limited: bool = True,
    keeps_pace: bool = True,
) -> AsyncIterator[ChatPlace]:
    """All of it, at rest: what the gateway asks at its start has been answered."""
    directory.mkdir(parents=True)
    recording.save(directory / "recording")
    sockets = [str(directory / f"{number}.sock") for number in range(guilds * channels)]
    async with AsyncExitStack() as stack:

        async def start(name: str, **config: object) -> Commanded:
            log = directory / f"{name}.log"
            return await stack.enter_async_context(commanded(f"benchmarks.{name}", config, log=log))

        discord = await start(
            "written_discord", guilds=guilds, channels=channels, limits=is_limited
        )
        runners = await start(
            "replayed_runners",
            directory=str(directory / "runners"),
            recording=str(directory / "recording"),
            sockets=sockets,
            pace=keeps_pace,
        )
        channel_ids = tuple(discord.told["channels"])
        gateway = await start(
            "stamping_gateway",
            token=discord.told["token"],
            api_base=discord.told["api_base"],
            directory=str(directory),
            calls_per_second=PER_SECOND if is_limited else UNLIMITED,
            bridges=[
                {"channel": channel, "socket": socket}
                for channel, socket in zip(channel_ids, sockets, strict=True)
            ],
        )
        await discord.ask("connected")
        while (await discord.ask("requests"))["requests"]:
            await asyncio.sleep(_SETTLE_SECONDS)
        yield ChatPlace(discord, gateway, runners, channel_ids, directory)
