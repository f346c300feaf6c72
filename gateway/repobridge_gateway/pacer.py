"""Paces every call to Discord: the urgent first, fair among channels, and edits only at their last.

discord.py waits for the limit of each route, and once it waits it can't be overtaken; of the limit
of all routes together (50 a second) it learns from refusals only. So calls are held here until
their turn, and few are handed over at a time: for each channel and kind of call only one.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeVar

PER_SECOND = 45.0
"""Of the 50 that Discord grants: what is not paced here, as the library's own calls, has room."""
BURST = 4.0
"""Calls at once after a rest. With those of the second that follows they must stay below 50."""
AT_ONCE = 64
"""Calls under way; most of them wait in discord.py for the limit of their route."""
WAITING = 10_000
"""Calls that may wait; who makes more is refused, and keeps what it has in the store."""
_OLDEST = 10
"""Of so many calls one is that which waits longest: what streams would leave nothing for a 👀."""
_ROUNDING = 1e-6
T = TypeVar("T")


class Priority(IntEnum):
    """What goes first."""

    ANSWER = 1
    DECISION = 2
    NOTICE = 3
    READING = 4
    """Of what people wrote and who they are: until then nobody knows what they want."""
    EDIT = 5
    """A comfort, as the next: there may be as many as Discord allows, for as long as turns run."""
    REACTION = 6


class Overloaded(Exception):
    """More calls wait than may."""


class Replaced(Exception):
    """A newer call took this one's place."""


@dataclass(frozen=True, slots=True)
class Lane:
    """Calls that run one after the other: of one kind, in one channel."""

    channel_id: str
    kind: str


@dataclass(slots=True)
class _Call:
    priority: Priority
    number: int
    lane: Lane
    make: Callable[[], Awaitable[Any]]
    done: asyncio.Future[Any]
    key: str = ""


@dataclass(slots=True)
class _LaneState:
    waiting: list[tuple[int, int, _Call]] = field(default_factory=list)
    is_busy: bool = False


class Pacer:
    """Runs calls in the order of their urgency, as fast as Discord allows."""

    def __init__(
        self,
        *,
        per_second: float = PER_SECOND,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._per_second = per_second
        self._clock = clock
        self._sleep = sleep
        self._allowance = BURST
        self._counted_at = clock()
        self._lanes: dict[Lane, _LaneState] = {}
        self._served: dict[str, int] = {}
        """By channel, the number of the last call that was begun there: who waited longest is next.
        """
        self._begun = 0
        self._waiting = 0
        self._under_way = 0
        self._numbers = itertools.count(1)
        self._changed = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many calls wait for their turn."""
        return self._waiting

    async def do(self, lane: Lane, priority: Priority, make: Callable[[], Awaitable[T]]) -> T:
        """Makes a call when it is its turn; returns and raises what it does, or Overloaded."""
        call: _Call = self._enqueue(lane, priority, make)
        try:
            result: T = await call.done
        except asyncio.CancelledError:
            call.done.cancel()  # not begun, it is left out
            raise
        return result

    async def newest(
        self, lane: Lane, key: str, priority: Priority, make: Callable[[], Awaitable[T]]
    ) -> T:
        """As `do`, in the place of the call of the same key that still waits: that gets Replaced.

        It keeps the place in the queue, so that what changes all the time gets its turn too.
        """
        for _, _, call in self._state(lane).waiting:
            if call.key == key and not call.done.done():
                call.done.set_exception(Replaced())
                call.done.exception()  # looked at, also where nobody waits any more
                call.done = asyncio.get_running_loop().create_future()
                call.make = make
                result: T = await call.done
                return result
        made: T = await self._enqueue(lane, priority, make, key=key).done
        return made

    def _enqueue(
        self, lane: Lane, priority: Priority, make: Callable[[], Awaitable[Any]], *, key: str = ""
    ) -> _Call:
        if self._waiting >= WAITING:
            raise Overloaded(f"{self._waiting} calls wait for Discord already")
        done = asyncio.get_running_loop().create_future()
        call = _Call(priority, next(self._numbers), lane, make, done, key)
        heapq.heappush(self._state(lane).waiting, (priority, call.number, call))
        self._waiting += 1
        self._changed.set()
        return call

    def _state(self, lane: Lane) -> _LaneState:
        return self._lanes.setdefault(lane, _LaneState())

    async def run(self) -> None:
        """Runs calls until it is cancelled; what then waits is cancelled too."""
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    self._changed.clear()
                    call = self._next() if self._under_way < AT_ONCE else None
                    if call is None:
                        await self._changed.wait()
                        continue
                    await self._pause()
                    # What is more urgent may have come during the pause.
                    call = self._next()
                    if call is None:
                        continue
                    self._take(call)
                    tasks.create_task(self._run(call), name=f"discord {call.lane.kind}")
        finally:
            for state in self._lanes.values():
                for _, _, call in state.waiting:
                    call.done.cancel()

    def _next(self) -> _Call | None:
        """The most urgent call of a free lane; among equals, of the channel that waited longest.

        Now and then the one that waits longest.
        """
        is_for_oldest = self._begun % _OLDEST == _OLDEST - 1
        best: tuple[int, int, int] | None = None
        found: _Call | None = None
        for lane, state in list(self._lanes.items()):
            self._drop_abandoned(state)
            if not state.waiting:
                if not state.is_busy:
                    del self._lanes[lane]
                continue
            if state.is_busy:
                continue
            priority, number, call = state.waiting[0]
            rank = (priority, self._served.get(lane.channel_id, 0), number)
            if is_for_oldest:
                rank = (0, 0, number)
            if best is None or rank < best:
                best, found = rank, call
        return found

    def _drop_abandoned(self, state: _LaneState) -> None:
        while state.waiting and state.waiting[0][2].done.done():
            heapq.heappop(state.waiting)
            self._waiting -= 1

    def _take(self, call: _Call) -> None:
        state = self._lanes[call.lane]
        heapq.heappop(state.waiting)
        state.is_busy = True
        self._waiting -= 1
        self._begun += 1
        self._under_way += 1
        self._allowance -= 1
        self._served[call.lane.channel_id] = next(self._numbers)
        if len(self._served) > 2 * WAITING:
            self._served.clear()  # fairness begins anew, and the memory stays bounded

    async def _pause(self) -> None:
        """Waits until the limit of all routes has room for one more."""
        while True:
            now = self._clock()
            earned = (now - self._counted_at) * self._per_second
            self._allowance = min(BURST, self._allowance + max(0.0, earned))
            self._counted_at = now
            if self._allowance >= 1 - _ROUNDING:
                return
            await self._sleep((1 - self._allowance) / self._per_second)

    async def _run(self, call: _Call) -> None:
        try:
            result = await call.make()
        except asyncio.CancelledError:
            call.done.cancel()
            raise
        except Exception as error:  # the caller's to handle
            if not call.done.done():
                call.done.set_exception(error)
        else:
            if not call.done.done():
                call.done.set_result(result)
        finally:
            self._under_way -= 1
            self._lanes[call.lane].is_busy = False
            self._changed.set()
