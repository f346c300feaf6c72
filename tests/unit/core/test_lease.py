"""Leadership under faults, in simulated time: one leader at most, and always one in the end."""

from __future__ import annotations

import asyncio
import functools
import random
import selectors
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repobridge.lease import Lease, LeaseLost
from repobridge.lease_api import LeaseChanged, LeaseError
from repobridge.lease_record import (
    NOBODY,
    Observed,
    Record,
    Timing,
    manifest,
    micro_time,
    parsed,
)

T = TypeVar("T")
TIMING = Timing()
WALL = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """A loop whose time passes at once when there is nothing to do."""

    def __init__(self) -> None:
        super().__init__(_Selector(self._pass))
        self._simulated = 0.0

    def time(self) -> float:
        return self._simulated

    def _pass(self, seconds: float | None) -> None:
        assert seconds is not None, "everything waits for something that will never come"
        self._simulated += seconds


class _Selector(selectors.DefaultSelector):
    def __init__(self, passes: Callable[[float | None], None]) -> None:
        super().__init__()
        self._passes = passes

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if not found and timeout != 0:
            self._passes(timeout)
        return found


def simulate(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        return runner.run(main())


def now() -> float:
    return asyncio.get_running_loop().time()


class Server:
    """One Lease, replaced by version only."""

    def __init__(self, record: Record | None = None) -> None:
        self.record = record
        self.writes = 0

    def put(self, record: Record) -> Record:
        if record.version != (self.record.version if self.record else ""):
            raise LeaseChanged("409")
        self.writes += 1
        self.record = replace(record, version=str(self.writes))
        return self.record


class Line:
    """One contender's way to the server; a fault is chosen for each call."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.fault: Callable[[], str] = lambda: ""
        self.delay: Callable[[], float] = lambda: 0.01
        self.calls = 0
        self._late: set[asyncio.Task[None]] = set()

    async def get(self) -> Record | None:
        await self._there(self.fault())
        found = self.server.record
        await asyncio.sleep(self.delay())
        return found

    async def put(self, record: Record) -> Record:
        fault = self.fault()
        if fault == "late":
            task = asyncio.create_task(self._arrive_late(record))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
            raise LeaseError("reset")
        await self._there(fault)
        found = self.server.put(record)
        await asyncio.sleep(self.delay())
        if fault == "answer lost":
            raise LeaseError("reset")
        if fault == "answer hangs":
            await asyncio.sleep(1e6)
        return found

    async def _there(self, fault: str) -> None:
        self.calls += 1
        await asyncio.sleep(self.delay())
        if fault == "refused":
            raise LeaseError("500")
        if fault == "hangs":
            await asyncio.sleep(1e6)

    async def _arrive_late(self, record: Record) -> None:
        await asyncio.sleep(self.delay() * 100)
        try:
            self.server.put(record)
        except LeaseChanged:
            pass


def contender(
    line: Line, name: str, clock: Callable[[], float] = now, timing: Timing = TIMING
) -> Lease:
    return Lease(
        line, identity=name, timing=timing, clock=clock, wall=lambda: WALL, chance=lambda: 0.5
    )


# ---------------------------------------------------------------- the record


def test_a_record_may_be_taken_once_it_stood_unchanged_for_its_duration() -> None:
    observed = Observed()
    held = Record(holder="other", duration_seconds=15.0, version="1")
    observed.see(held, at=100.0)
    observed.see(held, at=114.9)
    assert not observed.is_free("me", at=114.9, timing=TIMING)
    assert observed.is_free("me", at=115.0, timing=TIMING)
    observed.see(replace(held, version="2"), at=114.9)
    assert not observed.is_free("me", at=115.0, timing=TIMING)


@pytest.mark.parametrize(("theirs", "stands"), [(5.0, 15.0), (30.0, 30.0), (1e9, 600.0)])
def test_the_longer_of_two_durations_counts(theirs: float, stands: float) -> None:
    observed = Observed()
    observed.see(Record(holder="other", duration_seconds=theirs), at=0.0)
    assert not observed.is_free("me", at=stands - 0.1, timing=TIMING)
    assert observed.is_free("me", at=stands, timing=TIMING)


@pytest.mark.parametrize("holder", ["", "me"])
def test_what_nobody_or_oneself_holds_is_free_at_once(holder: str) -> None:
    observed = Observed()
    assert observed.is_free("me", at=0.0, timing=TIMING)
    observed.see(Record(holder=holder, duration_seconds=15.0), at=0.0)
    assert observed.is_free("me", at=0.0, timing=TIMING)


def test_a_lease_that_was_removed_is_its_holders_until_the_duration_is_over() -> None:
    observed = Observed()
    observed.see(Record(holder="other", duration_seconds=15.0), at=0.0)
    observed.see(None, at=1.0)
    assert not observed.is_free("me", at=14.0, timing=TIMING)
    assert observed.is_free("me", at=15.0, timing=TIMING)


def test_the_api_reads_back_what_was_written() -> None:
    taken = replace(NOBODY.taken_by("me", timing=TIMING, wall=WALL), version="7")
    written = manifest(taken, namespace="team", name="leader")
    assert written == {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"namespace": "team", "name": "leader", "resourceVersion": "7"},
        "spec": {
            "holderIdentity": "me",
            "leaseDurationSeconds": 15,
            "leaseTransitions": 0,
            "acquireTime": "2026-11-21T12:00:00.000000Z",
            "renewTime": "2026-11-21T12:00:00.000000Z",
        },
    }
    assert parsed(written) == taken
    assert parsed({"metadata": {"resourceVersion": "1"}}).holder == ""


def test_times_always_have_six_digits() -> None:
    assert micro_time(WALL) == "2026-11-21T12:00:00.000000Z"


@pytest.mark.parametrize("timing", [(15, 15, 2), (15, 10, 10), (15, 10, 0), (10, 15, 2)])
def test_a_timing_that_can_not_be_safe_is_refused(timing: tuple[float, float, float]) -> None:
    duration, renew, retry = timing
    with pytest.raises(ValueError, match="0 < retry < renew < duration"):
        Timing(duration_seconds=duration, renew_seconds=renew, retry_seconds=retry)


def test_the_usual_proportions_hold_for_another_duration() -> None:
    assert Timing.of(15.0) == Timing()


# --------------------------------------------------------------- one contender


def test_a_free_lease_is_taken_at_once_and_renewed() -> None:
    async def main() -> None:
        server = Server()
        async with contender(Line(server), "a") as lease:
            assert now() < 0.1
            assert lease.is_held
            await asyncio.sleep(60)
            lease.check()
            assert server.record is not None
            assert (server.record.holder, server.record.transitions) == ("a", 0)
            assert 25 < server.writes < 35
        assert server.record.holder == ""

    simulate(main)


def test_leaving_lets_the_next_one_in_at_once() -> None:
    async def main() -> float:
        server = Server()
        async with contender(Line(server), "a") as first:
            entering = asyncio.create_task(contender(Line(server), "b").__aenter__())
            await asyncio.sleep(30)
            assert not entering.done()
            left = now()
        assert not first.is_held
        second = await entering
        assert second.is_held
        assert server.record is not None
        assert server.record.transitions == 1
        return now() - left

    assert simulate(main) < 3


@pytest.mark.parametrize("fault", ["refused", "hangs", "answer hangs", "late"])
def test_a_holder_that_can_not_renew_stops_before_another_may_begin(fault: str) -> None:
    async def main() -> tuple[float, float]:
        server = Server()
        line = Line(server)
        async with contender(line, "a") as first:
            entering = asyncio.create_task(contender(Line(server), "b").__aenter__())
            await asyncio.sleep(10)
            line.fault = lambda: fault
            began = now()
            await first.lost.wait()
            stopped = now() - began
            assert not first.is_held
            with pytest.raises(LeaseLost):
                first.check()
            await entering
            return stopped, now() - began

    stopped, taken = simulate(main)
    assert 7 < stopped < 25
    assert stopped + 2 < taken < 45


def test_what_counts_is_when_a_renewal_was_sent_and_when_others_heard_of_it() -> None:
    async def main() -> tuple[float, float]:
        server = Server()
        line = Line(server)
        # Two seconds there, two back; the first call only looks whether there is a Lease.
        line.delay = lambda: 0.0 if line.calls <= 1 else 2.0
        async with contender(line, "a") as first:
            assert now() == pytest.approx(4.0)
            line.fault = lambda: "hangs"
            second = contender(Line(server), "b")
            entering = asyncio.create_task(second.__aenter__())
            await first.lost.wait()
            lost_at = now()
            assert second.is_held is False
            await entering
            return lost_at, now()

    lost_at, taken_at = simulate(main)
    assert lost_at == pytest.approx(10.0, abs=0.1)
    # It was first seen at 4.01 s.
    assert 19.0 <= taken_at < 22.0


def test_one_failure_is_not_the_end() -> None:
    async def main() -> None:
        line = Line(Server())
        faults = iter(["refused", "hangs", "answer lost", "late"])
        async with contender(line, "a") as lease:
            await asyncio.sleep(5)
            for _ in range(4):
                once = iter([next(faults)])
                line.fault = functools.partial(next, once, "")
                await asyncio.sleep(20)
                lease.check()

    simulate(main)


@pytest.mark.parametrize("by", ["taken", "removed"])
def test_a_holder_that_sees_another_or_nothing_stops_at_once(by: str) -> None:
    async def main() -> float:
        server = Server()
        async with contender(Line(server), "a") as lease:
            await asyncio.sleep(5)
            assert server.record is not None
            taken = replace(server.record, holder="b", version="999")
            server.record = taken if by == "taken" else None
            began = now()
            await lease.lost.wait()
        assert server.record == (taken if by == "taken" else None)
        return now() - began

    assert simulate(main) < 2.5


def test_a_label_on_the_lease_does_not_cost_it() -> None:
    async def main() -> None:
        server = Server()
        async with contender(Line(server), "a") as lease:
            await asyncio.sleep(5)
            assert server.record is not None
            server.record = replace(server.record, version="999")
            await asyncio.sleep(20)
            lease.check()

    simulate(main)


def test_time_that_passed_while_the_machine_slept_counts() -> None:
    async def main() -> None:
        slept = 0.0
        async with contender(Line(Server()), "a", lambda: now() + slept) as lease:
            await asyncio.sleep(5)
            slept = 60.0
            assert not lease.is_held
            await lease.lost.wait()

    simulate(main)


@pytest.mark.parametrize("fault", ["answer hangs", "answer lost", "hangs"])
def test_who_gives_up_while_it_asks_leaves_the_lease_to_others(fault: str) -> None:
    async def main() -> float:
        server = Server()
        line = Line(server)
        faults = iter(["", fault])
        line.fault = lambda: next(faults, "")
        entering = asyncio.create_task(contender(line, "a").__aenter__())
        await asyncio.sleep(1.0)
        entering.cancel()
        await asyncio.wait({entering})
        assert entering.cancelled()
        left = now()
        async with contender(Line(server), "b"):
            return now() - left

    assert simulate(main) < 0.1


def test_who_gives_up_while_another_leads_leaves_it_alone() -> None:
    async def main() -> None:
        server = Server()
        async with contender(Line(server), "a") as first:
            entering = asyncio.create_task(contender(Line(server), "b").__aenter__())
            await asyncio.sleep(5.0)
            entering.cancel()
            await asyncio.wait({entering})
            await asyncio.sleep(20.0)
            first.check()

    simulate(main)


def test_leaving_takes_no_longer_than_the_deadline_when_nobody_answers() -> None:
    async def main() -> float:
        line = Line(Server())
        async with contender(line, "a"):
            await asyncio.sleep(5)
            line.fault = lambda: "hangs"
            left = now()
        return now() - left

    assert simulate(main) <= TIMING.renew_seconds / 2


# -------------------------------------------------------------- many contenders

# Who looks often takes it soon: so the contest is close.
CLOSE = Timing(retry_seconds=0.5)
FAULTS = ("refused", "hangs", "answer lost", "answer hangs", "late")


class Contest:
    """Contenders that come, lead, go and crash on lines that fail; sees who leads at any time."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.server = Server()
        self.leading: dict[str, Lease] = {}
        self.leaders: set[str] = set()
        self.is_calm = False

    def line(self) -> Line:
        line = Line(self.server)
        line.fault = self._faults().__next__
        line.delay = self._delay
        return line

    def _faults(self) -> Iterator[str]:
        """Mostly none, some alone, and now and then one kind for longer than a Lease lasts."""
        while True:
            until = now()
            if self.dice.random() < 0.02:
                until += self.dice.uniform(0, 40)
            fault = self.dice.choice(FAULTS)
            while now() < until and not self.is_calm:
                yield fault
            yield fault if self.dice.random() < 0.1 and not self.is_calm else ""

    def _delay(self) -> float:
        return 0.01 if self.is_calm else self.dice.choice((0.001, 0.001, 0.05, 0.2, 2.0))

    async def contend(self, number: int) -> None:
        rate, life = self.dice.uniform(0.93, 1.07), 0
        while True:
            life += 1
            name, line = f"{number}.{life}", self.line()
            clock = functools.partial(_skewed, rate, self.dice.uniform(-1e6, 1e6))
            lease = contender(line, name, clock, CLOSE)
            try:
                # Some give up, perhaps while they ask.
                async with asyncio.timeout(self.dice.uniform(0.1, 120)):
                    await lease.__aenter__()
            except TimeoutError:
                continue
            self.leading[name] = lease
            self.leaders.add(name)
            try:
                await self._lead(lease, line)
            finally:
                await lease.__aexit__(None, None, None)
            self.leading.pop(name, None)

    async def _lead(self, lease: Lease, line: Line) -> None:
        try:
            async with asyncio.timeout(self.dice.uniform(1, 90)):
                await lease.lost.wait()
        except TimeoutError:
            if self.is_calm:
                await lease.lost.wait()
            elif self.dice.random() < 0.4:
                # A crash: it acts no more, and says nothing to anybody.
                line.fault = lambda: "hangs"
                del self.leading[lease.identity]

    async def run(self, *, seconds: float) -> None:
        ends = now() + seconds
        while now() < ends:
            held = [name for name, lease in self.leading.items() if lease.is_held]
            assert len(held) <= 1, held
            await asyncio.sleep(self.dice.uniform(0.01, 0.4))


def _skewed(rate: float, offset: float) -> float:
    return offset + now() * rate


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1 << 32))
def test_there_are_never_two_leaders_and_in_the_end_there_is_one(seed: int) -> None:
    async def main() -> None:
        contest = Contest(random.Random(seed))
        tasks = [asyncio.create_task(contest.contend(number)) for number in range(3)]
        await contest.run(seconds=300)
        contest.is_calm = True
        await contest.run(seconds=60)
        assert [lease.is_held for lease in contest.leading.values()].count(True) == 1
        assert len(contest.leaders) > 1
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    simulate(main)
