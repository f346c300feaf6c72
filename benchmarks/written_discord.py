"""The imitation of Discord in a process of its own, with people who write at a given rate.

    python -m benchmarks.written_discord

The configuration: `channels`, how many there are in each guild; `limits`, false for none; `guilds`
may be given too. Times are of the machine's monotonic clock, which all processes share.
"""

from __future__ import annotations

import asyncio
import functools
import time
from dataclasses import dataclass

from benchmarks.commanded import Json, configuration, obey
from tests.fakes.discord import GENEROUS, REALISTIC, Channel, Discord, MessageType, Person, Request

_BREATH = 8
_ANSWER_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class _Place:
    """A channel, and who writes there."""

    channel: Channel
    person: Person


class _Writing:
    """What the benchmark has people write."""

    def __init__(self, discord: Discord, *, guilds: int, channels: int) -> None:
        self._discord = discord
        self._places: list[_Place] = []
        self._told = 0
        for number in range(guilds):
            guild = discord.add_guild(f"guild-{number}")
            person = discord.add_person(guild, f"ann-{number}")
            for each in range(channels):
                channel = discord.add_channel(guild, f"channel-{each}")
                self._places.append(_Place(channel, person))

    @property
    def surroundings(self) -> Json:
        """How to reach it, and the channels in their order."""
        return {
            "token": self._discord.token,
            "api_base": self._discord.api_base,
            "channels": [str(each.id) for each in (place.channel for place in self._places)],
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
            place = self._places[(first + number) % len(self._places)]
            written.append((str(place.person.say(place.channel, text).id), due))
            if not number % _BREATH:
                await asyncio.sleep(0)  # the sockets want to be written to, however late we are
        return {"written": written}

    async def converse(self, count: int, at_once: int, text: str) -> Json:
        """Opens so many threads, each with one message, and waits until each is answered."""
        numbers = iter(range(count))

        async def some() -> None:
            for number in numbers:
                place = self._places[number % len(self._places)]
                thread = place.person.open_thread(place.channel, f"thread {number}")
                place.person.say(thread, text)
                is_idle = functools.partial(_is_idle, thread)
                await self._discord.until(is_idle, timeout=_ANSWER_SECONDS)

        await asyncio.gather(*(some() for _ in range(at_once)))
        return {}

    async def requests(self) -> Json:
        """What was asked since the last time: when it was answered, what, where, and its text."""
        new = self._discord.requests[self._told :]
        self._told += len(new)
        return {"requests": [_request(each) for each in new]}

    async def failures(self) -> Json:
        """What nobody should have asked for."""
        return {"failures": self._discord.failures}


def _is_idle(thread: Channel) -> bool:
    """Whether the answer stands, and what showed the turn has shrunk."""
    messages = [each for each in thread.messages.values() if each.author.is_bot]
    answers = [each for each in messages if each.type is MessageType.REPLY]
    shrunk = [each for each in messages if each.content.startswith("-# ✓")]
    return bool(answers) and len(answers) + len(shrunk) == len(messages)


def _request(asked: Request) -> Json:
    text = asked.body.get("content") if isinstance(asked.body, dict) else ""
    told = {"at": asked.at, "route": asked.route, "path": asked.path, "status": asked.status}
    return told | {"content": str(text or "")}


async def main(config: Json) -> None:
    """Serves until nobody tells it anything any more."""
    discord = Discord(limits=REALISTIC if config["limits"] else GENEROUS)
    writing = _Writing(discord, guilds=config.get("guilds", 1), channels=config["channels"])
    async with discord:
        acts = (
            writing.connected,
            writing.write,
            writing.converse,
            writing.requests,
            writing.failures,
        )
        await obey({act.__name__: act for act in acts}, ready=writing.surroundings)


if __name__ == "__main__":

    async def _run() -> None:
        await main(await configuration())

    asyncio.run(_run())
