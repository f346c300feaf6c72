"""A session's mailbox: everything that may change it, in the order in which it came."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from repobridge.session.events import RequestResolved
from repobridge_runner.agents import base
from repobridge_runner.agents.claude import ClaudeAgent
from repobridge_runner.requests import Pending

TICK_SECONDS = 0.03
_MAILS = 1000


@dataclass(frozen=True, slots=True)
class Look:
    """The queue or the runner's mood changed."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time to look into the transcript."""


@dataclass(frozen=True, slots=True)
class Late:
    """What was to be confirmed by now is not."""

    what: object


@dataclass(frozen=True, slots=True)
class Reported:
    """The agent reports; `asked` is where a request that comes of it is told.

    `written` is set when what comes of it stands in the journal, or never will.
    """

    report: base.Report
    agent: ClaudeAgent
    asked: asyncio.Future[Pending] | None = None
    written: asyncio.Event | None = None


@dataclass(frozen=True, slots=True)
class Closed:
    """A request is over."""

    pending: Pending
    resolved: RequestResolved
    answer: base.Answer


@dataclass(frozen=True, slots=True)
class Do:
    """Something that a caller waits for."""

    act: Callable[[], Awaitable[bool]]
    done: asyncio.Future[bool]


Mail = Look | Tick | Late | Reported | Closed | Do


class Mailbox:
    """Bounded: a reporter waits for room, which holds the agent's hooks back."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Mail] = asyncio.Queue(_MAILS)
        self._timer: asyncio.TimerHandle | None = None
        self._ticker: asyncio.TimerHandle | None = None

    async def get(self) -> Mail:
        """The next piece of mail."""
        mail = await self._queue.get()
        if isinstance(mail, Tick):
            self._ticker = None
        return mail

    async def put(self, mail: Mail) -> None:
        """Adds a piece of mail, when there is room."""
        await self._queue.put(mail)

    async def do(self, act: Callable[[], Awaitable[bool]]) -> bool:
        """Has something done in its turn; returns or raises what it does."""
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        await self._queue.put(Do(act, done))
        return await done

    async def do_later(self, act: Callable[[], Awaitable[bool]]) -> None:
        """Has something done in its turn, and waits for nothing."""
        await self._queue.put(Do(act, _unheard()))

    def do_in(self, seconds: float, act: Callable[[], Awaitable[bool]]) -> None:
        """Has something done in its turn, some time from now; never waits."""
        loop = asyncio.get_running_loop()
        loop.call_later(seconds, self._post, Do(act, _unheard()))

    def look(self) -> None:
        """Asks for a look at the queue; never waits."""
        try:
            self._queue.put_nowait(Look())
        except asyncio.QueueFull:
            pass  # the worker looks after each piece of mail anyway

    def arm(self, seconds: float, what: object) -> None:
        """One thing at a time waits for its confirmation; then `Late` comes."""
        self.disarm()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(seconds, self._post, Late(what))

    def disarm(self) -> None:
        """The confirmation came."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def tick(self) -> None:
        """Asks for a `Tick` soon."""
        if self._ticker is None:
            loop = asyncio.get_running_loop()
            self._ticker = loop.call_later(TICK_SECONDS, self._post, Tick())

    def look_in(self, seconds: float) -> None:
        """Asks for a look at the queue later."""
        asyncio.get_running_loop().call_later(seconds, self.look)

    def _post(self, mail: Mail) -> None:
        try:
            self._queue.put_nowait(mail)
        except asyncio.QueueFull:
            asyncio.get_running_loop().call_later(TICK_SECONDS, self._post, mail)


def _unheard() -> asyncio.Future[bool]:
    """A future that nobody waits for; its exception is no news."""
    done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    done.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    return done
