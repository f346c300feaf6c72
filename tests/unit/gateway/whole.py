"""A whole gateway in the test's process: it dies at a commit when a test wants it to.

Dying, the thread that commits stands still, so that nothing is kept from then on; the gateway is
then cancelled, and the next one opens the same store.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pydantic
import pytest

from repobridge.crd_access import Bucket, Limits, Rate, Window
from repobridge.durable.groupwriter import Act
from repobridge_gateway.access import OPEN
from repobridge_gateway.bot.client import BotSettings
from repobridge_gateway.channels import FixedChannels, Served
from repobridge_gateway.discord_gateway import DiscordGateway, DiscordSettings
from repobridge_gateway.fleet.status import RunnerLink
from repobridge_gateway.session_client import CHANNEL_OPTIONS, SessionClient
from repobridge_gateway.store.database import StoreWriter
from tests.fakes.discord import Channel, Discord, Message
from tests.fakes.scripted_claude.installed import ScriptedClaude
from tests.live_runner import LiveRunner
from tests.programs.gateway_killed_at import AwakeBridge

PATIENCE_SECONDS = 120.0
_NONE = Bucket(per_second=0, burst=1)
_COUNTED = Limits(
    rate=Rate(user=_NONE, channel=_NONE, windows=(Window(per="744h", requests=1_000_000),))
)
"""So that messages are charged, and nobody is held up."""


class Killed(Exception):
    """The gateway's process ended here."""


class Doom:
    """Lets a gateway's writer stand still at its n-th commit from now, before or after it."""

    def __init__(self, *, at: int, when: str, reached: Callable[[], None]) -> None:
        self._at = at
        self._when = when
        self._reached = reached
        self._buried = threading.Event()
        self._commit = StoreWriter._commit

    def commit(self, writer: StoreWriter, group: list[Act]) -> None:
        """A commit as long as it lives."""
        self._at -= 1
        is_kept = self._at > 0 or (self._at == 0 and self._when == "after")
        if is_kept:
            self._commit(writer, group)
        if self._at <= 0:
            self._reached()
            self._buried.wait()
            for act in group:
                act.error = Killed()

    def as_method(self) -> Callable[[StoreWriter, list[Act]], None]:
        """What a writer has in the place of its own."""

        def commit(writer: StoreWriter, group: list[Act]) -> None:
            self.commit(writer, group)

        return commit

    def bury(self) -> None:
        """Lets whoever waited for the dead one go, with nothing kept."""
        self._buried.set()


class Whole:
    """One team's channel with its runner, and one gateway after the other."""

    def __init__(
        self,
        discord: Discord,
        scripted: ScriptedClaude,
        bridge: AwakeBridge,
        *,
        uid: str,
        directory: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        self.discord = discord
        self.channel = discord.add_channel(discord.add_guild("acme"), "payments")
        self.ann = discord.add_person(self.channel.guild, "ann")
        self.scripted = scripted
        self.bridge = bridge
        self.asked: list[Message] = []
        self.skew = 0.0
        """By how much the gateway's clock is ahead of Discord's."""
        self.deaths = 0
        self._served = Served(
            uid=uid,
            bridge=bridge,
            channel_id=str(self.channel.id),
            created_at=0.0,
            access=OPEN,
            limits=_COUNTED,
        )
        self._directory = directory
        self._monkeypatch = monkeypatch
        self._gateway: asyncio.Task[None] | None = None
        self._doom: Doom | None = None

    @property
    def path(self) -> Path:
        """The store's file."""
        return self._directory / "gateway.sqlite"

    def start(self, *, at: int = 0, when: str = "before") -> None:
        """Begins a gateway; with `at` it is one that will die."""
        loop = asyncio.get_running_loop()
        died = asyncio.Event()
        doom = None
        if at:
            doom = Doom(at=at, when=when, reached=_soon(loop, died))
            self._monkeypatch.setattr(StoreWriter, "_commit", doom.as_method())
        bot = BotSettings(
            token=pydantic.SecretStr(self.discord.token), api_base=self.discord.api_base
        )
        gateway = DiscordGateway(
            DiscordSettings(bot=bot, store_directory=self._directory),
            FixedChannels([self._served]),
            clock=lambda: time.time() + self.skew,
        )
        self._doom, self._died = doom, died
        self._gateway = asyncio.create_task(gateway.run())
        self._gateway.add_done_callback(lambda _: self.discord.changes.note())

    async def end(self) -> None:
        """Ends the gateway, dead or alive; what it failed with is raised."""
        gateway, self._gateway = self._gateway, None
        if gateway is None:
            return
        gateway.cancel()
        if self._doom is not None:
            # Whoever is cancelled comes to its end first: nothing of that is kept.
            await asyncio.sleep(0)
            self._doom.bury()
        (result,) = await asyncio.gather(gateway, return_exceptions=True)
        self._monkeypatch.undo()
        if isinstance(result, Exception) and not _is_killed(result):
            raise result

    async def until_dead_or(self, is_done: Callable[[], bool]) -> bool:
        """Waits for the one or the other; whether it died."""
        dying = asyncio.create_task(self._died.wait())
        dying.add_done_callback(lambda _: self.discord.changes.note())
        try:
            await self.until(lambda: dying.done() or is_done())
        finally:
            dying.cancel()
        return self._died.is_set()

    async def until(self, is_done: Callable[[], object]) -> None:
        """Waits; a gateway that ended by itself raises what it ended with."""
        gateway = self._gateway
        assert gateway is not None
        try:
            await self.discord.until(lambda: gateway.done() or is_done(), timeout=PATIENCE_SECONDS)
        except TimeoutError as error:
            raise AssertionError(self.left()) from error
        if gateway.done():
            gateway.result()
            raise AssertionError("the gateway ended")

    def ask(self, text: str, channel: Channel | None = None) -> Message:
        """Ann asks."""
        self.asked.append(self.ann.say(channel or self.channel, text))
        return self.asked[-1]

    def is_over(self) -> bool:
        """Whether everything was answered, and no message shows a turn that runs."""
        return not self.left()

    def left(self) -> list[str]:
        """The questions without an answer, and what still shows a turn."""
        answered, shows = Counter[int](), list[str]()
        for place in {each.channel.id: each.channel for each in self.asked}.values():
            for each in self.discord.seen(place):
                if each.author != self.discord.bot.name:
                    continue
                if each.reply_to:
                    answered[each.reply_to] += 1
                else:
                    shows.append(each.content)
        running = [each for each in shows if not each.startswith("-#")]
        return [*running, *(each.content for each in self.asked if not answered[each.id])]

    def assert_accounted(self) -> None:
        """Each message was answered once, and done once."""
        places = {each.channel.id: each.channel for each in self.asked}.values()
        replies = Counter(
            each.reply_to
            for place in places
            for each in self.discord.seen(place)
            if each.author == self.discord.bot.name and each.reply_to
        )
        assert replies == Counter(each.id for each in self.asked)
        done = Counter(self.scripted.executed())
        assert set(done.values()) == {1}, done
        assert len(done) == len(self.asked)
        charged, taken = self.charges()
        assert charged <= {str(each.id) for each in self.asked}
        assert taken == len(charged)

    def charges(self) -> tuple[set[str], int]:
        """Which messages were charged, and how many the limit has counted."""
        with contextlib.closing(sqlite3.connect(self.path)) as store:
            charged = {row[0] for row in store.execute("SELECT message_id FROM charges")}
            states = store.execute("SELECT numbers FROM limit_states").fetchall()
        return charged, sum(int(count) for (row,) in states for count in row.split()[1::2])

    async def logged(self, *messages: str) -> None:
        """Waits until the gateway has logged all of these, from now on."""
        loop, heard = asyncio.get_running_loop(), list[str]()

        class Ears(logging.Handler):
            def emit(_, record: logging.LogRecord) -> None:
                heard.append(record.getMessage())
                loop.call_soon_threadsafe(self.discord.changes.note)

        ears, log = Ears(), logging.getLogger("repobridge_gateway")
        log.addHandler(ears)
        try:
            await self.until(lambda: set(messages) <= set(heard))
        finally:
            log.removeHandler(ears)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Another program keeps the store locked."""
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")


def _soon(loop: asyncio.AbstractEventLoop, died: asyncio.Event) -> Callable[[], None]:
    def tell() -> None:
        loop.call_soon_threadsafe(died.set)

    return tell


def _is_killed(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(_is_killed(each) for each in error.exceptions)
    return isinstance(error, Killed | asyncio.CancelledError)


@asynccontextmanager
async def whole(
    discord: Discord,
    runner: LiveRunner,
    scripted: ScriptedClaude,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Whole]:
    """A team whose gateway is ended with the test."""
    target = f"unix:{runner.settings.socket}"
    async with grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS) as channel:
        link = RunnerLink(SessionClient(channel), channel)
        made = Whole(
            discord,
            scripted,
            AwakeBridge(link),
            uid=runner.settings.bridge_uid,
            directory=directory,
            monkeypatch=monkeypatch,
        )
        try:
            yield made
        finally:
            await made.end()
