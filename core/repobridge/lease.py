"""Who leads: a Lease that one of several processes holds, and gives up before another takes it.

The holder acts until `renew_seconds` after it *sent* the last renewal that worked; others wait
`duration_seconds` after they *received* the record of it. The difference is for calls that are
under way. Any error, of whatever kind, is a renewal that did not work.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self

from repobridge.errors import RepoBridgeError
from repobridge.lease_api import ApiLease, LeaseChanged, LeaseError, LeaseStore
from repobridge.lease_record import NOBODY, Observed, Record, Timing
from repobridge.telemetry import Logger

if TYPE_CHECKING:
    from kubernetes.aio.client.api_client import ApiClient

_log = Logger("repobridge.lease")


def machine_clock() -> float:
    """Seconds that never step back, and that pass while the machine is suspended too."""
    number = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(number)


class LeaseLost(RepoBridgeError):
    """This process no longer leads, and must not act as if it did."""


class Lease:
    """Leadership for as long as the block lasts: `async with Lease(…) as lease`.

    Entering waits until this process leads; leaving releases. In between, end the process when
    `lost` is set, and ask `is_held` (or call `check`) before each act: an event loop that was
    busy hears of the loss late. Calls that act should take no longer than `margin_seconds`.
    """

    def __init__(
        self,
        store: LeaseStore,
        *,
        identity: str,
        timing: Timing = Timing(),  # noqa: B008 - frozen
        clock: Callable[[], float] = machine_clock,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.identity = identity
        self.timing = timing
        self.lost = asyncio.Event()
        self._store = store
        self._clock = clock
        self._wall = wall
        self._chance = chance
        self._observed = Observed()
        self._record = NOBODY
        self._until = float("-inf")
        self._keeping: asyncio.Task[None] | None = None
        # A call to take it was sent, and may have worked or not.
        self._is_asking = False
        self._trouble = ""

    @classmethod
    def on(
        cls,
        api: ApiClient,
        *,
        namespace: str,
        name: str,
        identity: str,
        timing: Timing = Timing(),  # noqa: B008 - frozen
    ) -> Self:
        """A Lease on an API server; the identity must be this process's alone."""
        return cls(ApiLease(api, namespace=namespace, name=name), identity=identity, timing=timing)

    @property
    def is_held(self) -> bool:
        """Whether this process leads at this very moment."""
        return self._clock() < self._until

    @property
    def margin_seconds(self) -> float:
        """How long an act may go on that began while the Lease was held."""
        return self.timing.duration_seconds - self.timing.renew_seconds

    def check(self) -> None:
        """Raises LeaseLost unless this process leads."""
        if not self.is_held:
            raise LeaseLost(f"{self.identity} does not hold the Lease.")

    async def __aenter__(self) -> Self:
        """Waits, for as long as it takes, until this process leads."""
        assert self._keeping is None, "a Lease is used once"
        try:
            while not await self._tried():
                spread = 1 + 0.2 * self._chance()
                await asyncio.sleep(self.timing.retry_seconds * spread)
        except asyncio.CancelledError:
            if self._is_asking:
                await self._release(self._clock() + self.timing.retry_seconds)
            raise
        _log.info("lease acquired", identity=self.identity, transitions=self._record.transitions)
        self._keeping = asyncio.create_task(self._keep(), name="lease")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops leading, then says so, within a deadline."""
        assert self._keeping is not None
        self._keeping.cancel()
        await asyncio.wait([self._keeping])
        was_held, until = self.is_held, self._until
        # First we stop, then others may begin.
        self._until = float("-inf")
        self.lost.set()
        if was_held:
            await self._release(until)

    # ------------------------------------------------------------- taking it

    async def _tried(self) -> bool:
        try:
            async with asyncio.timeout(self._longest_call()):
                return await self._try()
        except (LeaseError, TimeoutError) as error:
            self._troubled("lease can't be acquired", error)
            return False

    async def _try(self) -> bool:
        found = await self._store.get()
        if found is not None and found.holder != self._observed.holder:
            _log.info("lease holder seen", holder=found.holder, identity=self.identity)
        now = self._clock()
        self._observed.see(found, at=now)
        if not self._observed.is_free(self.identity, at=now, timing=self.timing):
            self._trouble, self._is_asking = "", False
            return False
        try:
            await self._put(found or NOBODY)
        except LeaseChanged:
            return False
        return self.is_held

    async def _put(self, record: Record) -> None:
        """Takes or renews; what counts is when it was sent."""
        sent = self._clock()
        self._record = record.taken_by(self.identity, timing=self.timing, wall=self._wall())
        self._is_asking = True
        self._record = await self._store.put(self._record)
        self._is_asking = False
        self._until = sent + self.timing.renew_seconds
        self._trouble = ""

    # ------------------------------------------------------------ keeping it

    async def _keep(self) -> None:
        """Ends when the Lease is lost; leaving the block cancels it, and nothing is lost."""
        try:
            while self.is_held:
                # Never so little that the clock does not move.
                await asyncio.sleep(max(0.01, min(self.timing.retry_seconds, self._left())))
                await self._renewed()
        except Exception as error:
            _log.error("lease can't be kept", identity=self.identity, cause=error)
        self._until = float("-inf")
        self.lost.set()
        _log.error("lease lost", identity=self.identity)

    async def _renewed(self) -> None:
        try:
            async with asyncio.timeout(min(self._longest_call(), self._left())):
                await self._renew()
        except (LeaseError, TimeoutError) as error:
            self._troubled("lease not renewed", error)

    async def _renew(self) -> None:
        if not self.is_held:
            return
        try:
            await self._put(self._record)
        except LeaseChanged:
            found = await self._store.get()
            if found is None or found.holder != self.identity:
                # Another took it, or it was removed: then anyone may make it anew.
                self._until = float("-inf")
                return
            # A renewal of ours that seemed to fail, or somebody's label on it.
            self._record = found
            await self._put(found)

    def _left(self) -> float:
        return max(0.0, self._until - self._clock())

    def _longest_call(self) -> float:
        """So that at least one more can be made before the deadline."""
        return self.timing.renew_seconds / 2

    # --------------------------------------------------------- giving it up

    async def _release(self, until: float) -> None:
        try:
            async with asyncio.timeout(min(self._longest_call(), until - self._clock())):
                record = self._record
                try:
                    await self._store.put(record.released(wall=self._wall()))
                except LeaseChanged:
                    found = await self._store.get()
                    if found is None or found.holder != self.identity:
                        return
                    await self._store.put(found.released(wall=self._wall()))
            _log.info("lease released", identity=self.identity)
        except (LeaseError, TimeoutError) as error:
            _log.warning("lease not released", identity=self.identity, error=_words(error))

    def _troubled(self, message: str, error: BaseException) -> None:
        """Tells of a trouble once, not every two seconds."""
        if self._trouble != (words := _words(error)):
            self._trouble = words
            _log.warning(message, identity=self.identity, error=words)


def _words(error: BaseException) -> str:
    return str(error) or "no answer in time"
