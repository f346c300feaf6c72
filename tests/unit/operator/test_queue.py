"""The queue of bridges: once each, one worker a key, back-off, bounds; and against a model."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from repobridge_operator.queue import Backoff, KeyedQueue


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def make_queue(clock: Clock, *, capacity: int = 10) -> KeyedQueue[str]:
    return KeyedQueue(
        capacity=capacity,
        backoff=Backoff(first_seconds=1.0, cap_seconds=8.0, spread=0.5),
        clock=clock,
        chance=lambda: 0.0,
    )


def drained(queue: KeyedQueue[str]) -> list[str]:
    keys = []
    while (key := queue.pop()) is not None:
        keys.append(key)
    return keys


def test_a_key_that_is_asked_for_twice_comes_once_and_in_order() -> None:
    queue = make_queue(Clock())
    for key in ("a", "b", "a", "c", "b"):
        assert queue.add(key)
    assert drained(queue) == ["a", "b", "c"]


def test_a_key_in_a_workers_hands_comes_again_only_after_it_was_given_back() -> None:
    queue = make_queue(Clock())
    queue.add("a")
    assert queue.pop() == "a"
    queue.add("a")
    assert queue.pop() is None
    queue.done("a")
    assert drained(queue) == ["a"]
    queue.done("a")
    assert len(queue) == 0


def test_failures_in_a_row_wait_twice_as_long_each_up_to_the_cap_and_a_success_forgets_them() -> (
    None
):
    clock = Clock()
    queue = make_queue(clock)
    queue.add("a")
    waits = []
    for _ in range(6):
        assert queue.pop() == "a"
        waits.append(queue.retry("a"))
        clock.now += waits[-1]
    assert waits == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert queue.pop() == "a"
    queue.done("a", again_after=5.0)
    clock.now += 5.0
    assert queue.pop() == "a"
    assert queue.retry("a") == 1.0


def test_an_event_brings_a_failed_key_forward_but_not_before_the_first_back_off() -> None:
    clock = Clock()
    queue = make_queue(clock)
    queue.add("a")
    for _ in range(4):
        assert queue.pop() == "a"
        clock.now += queue.retry("a")
    assert queue.pop() == "a"
    queue.retry("a")
    queue.add("a")
    assert queue.next_due() == clock.now + 1.0
    clock.now += 1.0
    assert queue.pop() == "a"
    queue.add("a")  # an event of the attempt itself
    queue.retry("a")
    assert queue.next_due() == clock.now + 1.0


def test_what_the_server_asks_to_wait_is_waited_whatever_happens() -> None:
    clock = Clock()
    queue = make_queue(clock)
    queue.add("a")
    assert queue.pop() == "a"
    queue.add("a")
    assert queue.retry_after("a", 7.0) == 7.0
    queue.add("a")
    clock.now += 6.9
    assert queue.pop() is None
    clock.now += 0.1
    assert queue.pop() == "a"


def test_a_full_queue_refuses_new_keys_and_takes_the_ones_it_has() -> None:
    queue = make_queue(Clock(), capacity=2)
    assert [queue.add(key) for key in ("a", "b", "c", "a")] == [True, True, False, True]
    assert drained(queue) == ["a", "b"]
    assert not queue.add("c")
    queue.done("a")
    assert queue.add("c")


def test_the_sooner_of_two_times_counts() -> None:
    clock = Clock()
    queue = make_queue(clock)
    queue.add_after("a", 10.0)
    queue.add_after("a", 3.0)
    queue.add_after("a", 20.0)
    assert queue.next_due() == 103.0
    assert (queue.waiting, len(queue)) == (0, 1)
    clock.now = 103.0
    assert (queue.waiting, drained(queue)) == (1, ["a"])


def test_giving_back_what_was_not_handed_out_is_a_mistake() -> None:
    queue = make_queue(Clock())
    queue.add("a")
    with pytest.raises(AssertionError):
        queue.done("a")


async def test_waiting_workers_get_one_key_each_as_soon_as_they_are_due() -> None:
    queue: KeyedQueue[str] = KeyedQueue(
        capacity=10, backoff=Backoff(), clock=time.monotonic, chance=lambda: 0.0
    )
    workers = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    queue.add_after("late", 0.05)
    queue.add("a")
    queue.add("b")
    async with asyncio.timeout(60):
        assert sorted(await asyncio.gather(*workers)) == ["a", "b", "late"]


KEYS = st.sampled_from("abcd")
SECONDS = st.floats(0.0, 20.0)


@dataclass
class Model:
    """What the queue promises, said without a heap."""

    asked: dict[str, float] = field(default_factory=dict)
    """The time by which each key that was asked for must have been handed out."""
    held: set[str] = field(default_factory=set)


class QueueMachine(RuleBasedStateMachine):
    """No key is ever lost, handed out twice at a time, or handed out before its floor."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.queue = make_queue(self.clock, capacity=3)
        self.model = Model()
        self.floor: dict[str, float] = {}

    @rule(key=KEYS, seconds=SECONDS)
    def ask(self, key: str, seconds: float) -> None:
        known = key in self.model.asked or key in self.model.held
        full = len(set(self.model.asked) | self.model.held) >= 3
        taken = self.queue.add_after(key, seconds)
        assert taken == (known or not full)
        if taken:
            due = max(self.clock.now + seconds, self.floor.get(key, 0.0))
            self.model.asked[key] = min(due, self.model.asked.get(key, due))

    @rule()
    def take(self) -> None:
        key = self.queue.pop()
        if key is None:
            free = {k: t for k, t in self.model.asked.items() if k not in self.model.held}
            assert all(t > self.clock.now for t in free.values())
            return
        assert key not in self.model.held
        assert self.model.asked.pop(key) <= self.clock.now
        assert self.floor.get(key, 0.0) <= self.clock.now
        self.model.held.add(key)

    @rule(key=KEYS)
    def succeed(self, key: str) -> None:
        if key in self.model.held:
            self.model.held.remove(key)
            self.floor.pop(key, None)
            self.queue.done(key)

    @rule(key=KEYS, seconds=st.none() | SECONDS)
    def fail(self, key: str, seconds: float | None) -> None:
        if key not in self.model.held:
            return
        self.model.held.remove(key)
        if seconds is None:
            wait = self.queue.retry(key)
            self.floor[key] = self.clock.now + 1.0
        else:
            wait = self.queue.retry_after(key, seconds)
            self.floor[key] = self.clock.now + seconds
        self.model.asked[key] = self.clock.now + wait
        assert self.floor[key] <= self.clock.now + wait <= self.clock.now + 20.0

    @rule(seconds=SECONDS)
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def holds_what_was_asked_for(self) -> None:
        assert len(self.queue) == len(set(self.model.asked) | self.model.held)


TestQueueAgainstModel = QueueMachine.TestCase
TestQueueAgainstModel.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


@given(failures=st.integers(1, 10_000), chance=st.floats(0.0, 1.0))
def test_no_back_off_passes_the_cap_and_its_spread(failures: int, chance: float) -> None:
    backoff = Backoff(first_seconds=0.2, cap_seconds=300.0, spread=0.2)
    assert 0.2 <= backoff.delay(failures, chance=chance) <= 360.0
