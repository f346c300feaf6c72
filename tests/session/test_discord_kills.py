"""The gateway is killed right before and right after each commit of its store.

Whatever point it is: the next gateway answers each message once, the agent did each once, and the
messages that showed the turns are shrunk.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.claude_home import ROOT
from tests.fakes.discord import GENEROUS, Channel, Discord, Message, Person
from tests.fakes.scripted_claude.installed import ScriptedClaude
from tests.session.faulty import FaultyRunner, make_runner

AT_ONCE = 4
"""Sweeps that run beside each other: most of each is waiting for processes to start."""
PATIENCE_SECONDS = 90.0


@dataclass
class Place:
    """One runner, one channel, and a gateway that may be killed and started again."""

    discord: Discord
    channel: Channel
    ann: Person
    runner: FaultyRunner
    scripted: ScriptedClaude
    directory: Path

    @property
    def commits(self) -> int:
        """How many commits the last gateway began."""
        return int((self.directory / "commits").read_text())

    async def start(self, *, at: int = 0, when: str = "before") -> asyncio.subprocess.Process:
        """A gateway, with its end built in where one is given."""
        config = self.directory / "gateway.json"
        config.write_text(
            json.dumps(
                {
                    "token": self.discord.token,
                    "api_base": self.discord.api_base,
                    "store": str(self.directory / "store"),
                    "socket": str(self.runner.settings.socket),
                    "uid": self.runner.settings.bridge_uid,
                    "channel": str(self.channel.id),
                }
            )
        )
        (self.directory / "commits").write_text("0")
        count = str(self.directory / "commits")
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.programs.gateway_killed_at",
            "--at", str(at), "--when", when, "--count", count, "--config", str(config),
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "HOME": str(self.directory), "LANG": "C.UTF-8"},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=(self.directory / "gateway.log").open("ab"),
        )  # fmt: skip

    def log(self) -> str:
        """What the gateways said."""
        return (self.directory / "gateway.log").read_text()[-3000:]

    async def until_listening(self, gateway: asyncio.subprocess.Process) -> None:
        """Returns once it is connected, or dead."""
        dying = asyncio.create_task(gateway.wait())
        dying.add_done_callback(lambda _: self.discord.changes.note())
        await self.discord.until(
            lambda: dying.done() or any(self.discord.gateway.connected), timeout=PATIENCE_SECONDS
        )

    def is_over(self, asked: list[Message]) -> bool:
        """Whether everything is answered, and nothing still shows a turn that runs."""
        own = [each for each in self.discord.seen(self.channel) if each.author == "repobridge"]
        replies = {each.reply_to for each in own}
        shows = [each for each in own if not each.reply_to]
        is_shrunk = all(each.content.startswith("-#") for each in shows)
        return is_shrunk and all(each.id in replies for each in asked)

    async def until_over(self, asked: list[Message], gateway: asyncio.subprocess.Process) -> bool:
        """True once all is over, False when the gateway died before."""
        dying = asyncio.create_task(gateway.wait())
        dying.add_done_callback(lambda _: self.discord.changes.note())
        try:
            await self.discord.until(
                lambda: dying.done() or self.is_over(asked), timeout=PATIENCE_SECONDS
            )
        except TimeoutError as error:
            seen = [(m.content, m.reply_to) for m in self.discord.seen(self.channel)]
            raise AssertionError(f"{seen}\n{self.log()}") from error
        return not dying.done()

    def assert_accounted(self, asked: list[Message], point: object) -> None:
        """Each was answered once and done once."""
        own = [each for each in self.discord.seen(self.channel) if each.author == "repobridge"]
        replies = Counter(each.reply_to for each in own if each.reply_to)
        assert replies == Counter({each.id: 1 for each in asked}), (point, own, self.log())
        done = Counter(self.scripted.executed())
        assert set(done.values()) == {1}, (point, done)
        assert len(done) == len(asked), (point, done)


@asynccontextmanager
async def a_place(directory: Path) -> AsyncIterator[Place]:
    directory.mkdir()
    scripted = ScriptedClaude(directory / "agent")
    (directory / "work").mkdir()
    runner = make_runner(directory / "work", directory / "home", agent=scripted.agent)
    await runner.start()
    try:
        async with Discord(limits=GENEROUS) as discord:
            guild = discord.add_guild("acme")
            channel = discord.add_channel(guild, "payments")
            ann = discord.add_person(guild, "ann")
            yield Place(discord, channel, ann, runner, scripted, directory)
            assert discord.failures == []
    finally:
        await runner.stop()


async def conversation(place: Place, *, at: int, when: str) -> bool:
    """Two messages, with the gateway killed on the way; whether it was."""
    gateway = await place.start(at=at, when=when)
    try:
        await place.until_listening(gateway)
        asked = [place.ann.say(place.channel, text) for text in ("one question", "another one")]
        is_over = await place.until_over(asked, gateway)
        if not is_over:
            gateway = await place.start()
            assert await place.until_over(asked, gateway), place.log()
        place.assert_accounted(asked, (at, when))
        return not is_over
    finally:
        if gateway.returncode is None:
            gateway.kill()
        await gateway.wait()


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("when", "some"),
    [
        ("before", slice(0, None, 6)),
        ("after", slice(3, None, 6)),
        pytest.param("before", slice(None), marks=pytest.mark.long),
        pytest.param("after", slice(None), marks=pytest.mark.long),
    ],
)
async def test_a_gateway_killed_at_any_commit_answers_each_message_once(
    tmp_path: Path, when: str, some: slice
) -> None:
    async with a_place(tmp_path / "whole") as place:
        assert not await conversation(place, at=1_000_000, when=when)
        commits = place.commits
    assert commits > 10
    points = range(1, commits + 1)[some]
    room = asyncio.Semaphore(AT_ONCE)

    async def at(number: int) -> bool:
        async with room, a_place(tmp_path / f"p{number}") as place:
            return await conversation(place, at=number, when=when)

    # How acts share a commit differs from run to run: some points lie behind the end.
    assert sum(await asyncio.gather(*(at(number) for number in points))) > len(points) // 2
