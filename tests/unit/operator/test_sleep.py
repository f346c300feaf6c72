"""A pod goes to sleep only by its runner's leave, or when there is nothing left to wait for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from repobridge.idle import Activity, Drained, IdlePolicy
from repobridge.session.events import BusyReason
from repobridge_operator.sleep import (
    DELETE_SECONDS,
    INTERRUPT_SECONDS,
    LEASE_SECONDS,
    Sleep,
    answered,
    begun,
    next_action,
    observed,
    permission,
)
from repobridge_operator.sleep_values import (
    Action,
    Answer,
    Ask,
    Drain,
    Facts,
    Ground,
    Interrupt,
    Interrupted,
    Lower,
    Lowering,
    Now,
    Permission,
    Resume,
    Resumed,
    Unreached,
    Wait,
    Want,
)

EPOCH = 1_000_000.0
AWAKE = Facts(
    want=Want.AWAKE,
    bridge_uid="b",
    pod_uid="p",
    address="10.0.0.7",
    port=7443,
    is_running=True,
    awake_since=EPOCH,
    resource_version="41",
    generation=4,
    pod_version="17",
    policy=IdlePolicy(idle_seconds=600.0, max_awake_seconds=86_400.0),
    drain_timeout_seconds=300.0,
)
ASLEEP = replace(AWAKE, want=Want.ASLEEP, resource_version="42", generation=5)
FRESH = replace(AWAKE, want=Want.FRESH)
IDLE = Activity(last_activity=EPOCH)
BUSY = Activity(busy_reasons=(BusyReason.TURN_OPEN,), last_activity=EPOCH)
GRANTED = Drained(is_granted=True, is_held=True)
HELD = Drained(is_granted=False, is_held=True, busy_reasons=(BusyReason.TURN_OPEN,))
REFUSED = Drained(is_granted=False, busy_reasons=(BusyReason.TURN_OPEN,))


class Walk:
    """A pod's way, step by step, on clocks that a test moves."""

    def __init__(self, facts: Facts, *, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.facts = facts
        self.sleep = observed(Sleep(), facts, before=None, now=self.now)

    @property
    def now(self) -> Now:
        return Now(self.seconds, EPOCH + self.seconds)

    @property
    def permission(self) -> Permission | None:
        return permission(self.sleep, self.facts, self.now)

    def see(self, facts: Facts) -> None:
        self.sleep = observed(self.sleep, facts, before=self.facts, now=self.now)
        self.facts = facts

    def next(self) -> Action | Wait:
        return next_action(self.sleep, self.facts, self.now)

    def step(self, expected: Action, answer: Answer, *, took: float = 0.0) -> None:
        """The next action is this, and this its answer."""
        assert self.next() == expected
        self.sleep = begun(self.sleep, expected)
        asked_at, self.seconds = self.seconds, self.seconds + took
        self.sleep = answered(
            self.sleep, self.facts, expected, answer, asked_at=asked_at, now=self.now
        )

    def wait(self, expected: float) -> None:
        """Nothing is to be done for so long, which passes."""
        found = self.next()
        assert isinstance(found, Wait)
        assert found.seconds == pytest.approx(expected)
        self.seconds += expected


def test_an_idle_bridge_is_drained_and_lowered_and_its_pod_given_free() -> None:
    walk = Walk(AWAKE, seconds=600)
    walk.step(Ask(), IDLE)
    walk.step(Drain(after_turn=False), GRANTED)
    assert walk.permission is None
    walk.step(Lower("41", 4), Lowering.DONE)
    walk.wait(30)
    walk.seconds -= 29
    walk.see(ASLEEP)
    assert walk.permission == Permission("p", Ground.DRAINED)


def test_a_permission_ends_before_the_lease_and_the_lease_is_renewed_before_that() -> None:
    walk = Walk(ASLEEP)
    walk.step(Drain(after_turn=True), GRANTED, took=2)
    walk.wait(LEASE_SECONDS - 12 - 2)
    assert walk.permission == Permission("p", Ground.DRAINED)
    walk.step(Drain(after_turn=True), Unreached("NO_ANSWER"), took=3)
    walk.seconds = LEASE_SECONDS - DELETE_SECONDS
    assert walk.permission is None
    walk.step(Drain(after_turn=True), GRANTED)
    assert walk.permission == Permission("p", Ground.DRAINED)


def test_a_wake_that_overtakes_the_lowering_has_the_runner_resumed() -> None:
    walk = Walk(AWAKE, seconds=600)
    walk.step(Ask(), IDLE)
    walk.step(Drain(after_turn=False), GRANTED)
    walk.step(Lower("41", 4), Lowering.OVERTAKEN)
    walk.step(Resume(), Resumed())
    walk.wait(2)
    walk.step(Ask(), BUSY)


def test_any_other_change_of_the_spec_after_the_drain_has_the_runner_resumed() -> None:
    walk = Walk(AWAKE, seconds=600)
    walk.step(Ask(), IDLE)
    walk.step(Drain(after_turn=False), GRANTED)
    walk.see(replace(AWAKE, generation=5, policy=IdlePolicy(idle_seconds=600.0, min_replicas=1)))
    walk.step(Resume(), Resumed())


def test_a_lowering_that_fails_is_tried_again_while_the_lease_is_good_for_it() -> None:
    walk = Walk(AWAKE, seconds=600)
    walk.step(Ask(), IDLE)
    walk.step(Drain(after_turn=False), GRANTED)
    walk.step(Lower("41", 4), Lowering.FAILED, took=10)
    walk.wait(1)
    walk.step(Lower("41", 4), Lowering.FAILED, took=10)
    walk.step(Resume(), Resumed())


def test_a_wake_after_the_lowering_resumes_the_runner_and_counts_as_activity() -> None:
    walk = Walk(AWAKE, seconds=600)
    walk.step(Ask(), IDLE)
    walk.step(Drain(after_turn=False), GRANTED)
    walk.step(Lower("41", 4), Lowering.DONE)
    walk.see(replace(AWAKE, resource_version="43", generation=6))
    assert walk.permission is None
    walk.step(Resume(), Resumed())
    walk.wait(2)
    walk.step(Ask(), IDLE)
    walk.wait(60)


def test_the_watch_that_lags_behind_our_own_lowering_is_no_wake() -> None:
    walk = Walk(AWAKE, seconds=600)
    walk.step(Ask(), IDLE)
    walk.step(Drain(after_turn=False), GRANTED)
    walk.step(Lower("41", 4), Lowering.DONE)
    walk.see(replace(AWAKE, resource_version="41"))
    walk.wait(30)
    walk.see(ASLEEP)
    walk.step(Drain(after_turn=True), GRANTED)


@pytest.mark.parametrize("answer", Lowering)
def test_a_watch_that_is_faster_than_the_answer_to_the_lowering_counts(answer: Lowering) -> None:
    walk = Walk(AWAKE, seconds=600)
    walk.step(Ask(), IDLE)
    walk.step(Drain(after_turn=False), GRANTED)
    lower = walk.next()
    assert lower == Lower("41", 4)
    walk.see(ASLEEP)
    walk.sleep = answered(walk.sleep, walk.facts, lower, answer, asked_at=600.0, now=walk.now)
    assert walk.permission == Permission("p", Ground.DRAINED)
    walk.see(replace(AWAKE, generation=6))
    walk.step(Resume(), Resumed())


def test_a_busy_bridge_that_is_to_sleep_is_drained_after_its_turn() -> None:
    walk = Walk(ASLEEP)
    walk.step(Drain(after_turn=True), HELD)
    walk.wait(0.5)
    walk.step(Drain(after_turn=True), HELD)
    assert walk.permission is None
    walk.seconds = 40
    walk.step(Drain(after_turn=True), HELD)
    walk.wait(4)
    walk.step(Drain(after_turn=True), GRANTED)
    assert walk.permission == Permission("p", Ground.DRAINED)


def test_no_turn_is_cut_before_the_time_is_over_and_then_with_the_queue_held() -> None:
    walk = Walk(ASLEEP)
    for moment in range(0, 300, 5):
        walk.seconds = float(moment)
        walk.step(Drain(after_turn=True), HELD)
    walk.seconds = 320.0  # the lease may be over: it is renewed first
    walk.step(Drain(after_turn=True), HELD)
    walk.wait(0.5)
    walk.step(Interrupt(), Interrupted(1))
    walk.wait(0.5)
    walk.step(Drain(after_turn=True), GRANTED)
    assert walk.permission == Permission("p", Ground.DRAINED)


def test_a_turn_that_will_not_end_is_interrupted_again_and_in_the_end_not_waited_for() -> None:
    walk = Walk(ASLEEP)
    walk.step(Drain(after_turn=True), HELD)
    walk.seconds = 301.0
    walk.step(Drain(after_turn=True), HELD)
    walk.wait(0.5)
    walk.step(Interrupt(), Interrupted(1))
    cut_at = walk.seconds
    walk.wait(0.5)
    walk.step(Drain(after_turn=True), HELD)
    walk.wait(0.5)
    walk.step(Drain(after_turn=True), HELD)
    walk.seconds = cut_at + 10
    walk.step(Interrupt(), Interrupted(1))
    walk.seconds = cut_at + INTERRUPT_SECONDS - 0.1
    assert walk.permission is None
    walk.seconds = cut_at + INTERRUPT_SECONDS
    assert walk.permission == Permission("p", Ground.DRAIN_TIMEOUT)


def test_a_wake_while_the_turn_still_runs_cancels_the_drain() -> None:
    walk = Walk(ASLEEP)
    walk.step(Drain(after_turn=True), HELD)
    walk.see(replace(AWAKE, generation=6))
    walk.step(Resume(), Unreached("NO_ANSWER"), took=5)
    walk.wait(1)
    walk.step(Resume(), Resumed())
    walk.wait(2)
    walk.step(Ask(), BUSY)


def test_from_a_resume_on_no_agreement_counts_whatever_becomes_of_it() -> None:
    walk = Walk(ASLEEP)
    walk.step(Drain(after_turn=True), GRANTED)
    walk.see(replace(AWAKE, generation=6))
    walk.sleep = begun(walk.sleep, Resume())
    walk.see(replace(ASLEEP, generation=7))
    assert walk.permission is None


def test_an_unreachable_runner_is_waited_for_until_the_time_is_over() -> None:
    walk = Walk(ASLEEP)
    for seconds in (1, 2, 4, 8, 15, 15):
        walk.step(Drain(after_turn=True), Unreached("UNREACHABLE"))
        assert walk.permission is None
        walk.wait(seconds)
    walk.seconds = 299.0
    walk.step(Drain(after_turn=True), Unreached("UNREACHABLE"))
    assert walk.permission is None
    walk.seconds = 300.0
    assert walk.permission == Permission("p", Ground.UNREACHABLE)


def test_what_a_runner_left_unanswered_while_it_started_is_forgotten_and_it_is_asked_anew() -> None:
    walk = Walk(replace(AWAKE, is_starting_up=True))
    for wait in (1.0, 2.0):
        walk.step(Ask(), Unreached("refused"))
        walk.wait(wait)
    walk.step(Ask(), Unreached("refused"))
    assert walk.sleep.failures == 3
    walk.see(AWAKE)
    assert walk.sleep.failures == 0
    assert walk.next() == Ask()


def test_a_new_operator_counts_from_the_status_but_asks_for_itself_first() -> None:
    walk = Walk(replace(ASLEEP, asleep_since=EPOCH), seconds=1000)
    assert walk.permission is None
    walk.step(Drain(after_turn=True), Unreached("UNREACHABLE"))
    walk.seconds = 1015
    walk.step(Drain(after_turn=True), HELD)
    walk.wait(0.5)
    walk.step(Interrupt(), Interrupted(2))
    assert walk.permission is None
    walk.wait(0.5)
    walk.step(Drain(after_turn=True), GRANTED)
    assert walk.permission == Permission("p", Ground.DRAINED)


def test_a_pod_in_which_nothing_runs_may_go_unless_it_changes_meanwhile() -> None:
    still = replace(ASLEEP, is_running=False, address="")
    assert Walk(still).permission == Permission("p", Ground.NOTHING_RUNS, "17")
    assert Walk(replace(still, want=Want.FRESH)).permission is not None
    assert Walk(replace(still, want=Want.AWAKE)).permission is None
    assert Walk(still).next() == Wait(60.0)


def test_a_pod_of_an_old_template_goes_as_soon_as_it_is_idle_and_the_wish_stays() -> None:
    walk = Walk(FRESH, seconds=100)
    walk.step(Ask(), BUSY)
    walk.wait(25)
    walk.step(Ask(), IDLE)
    walk.step(Drain(after_turn=False), REFUSED)
    walk.wait(2)
    walk.step(Ask(), IDLE)
    walk.step(Drain(after_turn=False), GRANTED)
    assert walk.permission == Permission("p", Ground.DRAINED)
    walk.see(AWAKE)
    walk.step(Resume(), Resumed())


def test_somebody_who_types_lets_an_agreed_replacement_go() -> None:
    walk = Walk(FRESH)
    walk.step(Ask(), IDLE)
    walk.step(Drain(after_turn=False), GRANTED)
    walk.wait(18)
    walk.step(Drain(after_turn=False), REFUSED)
    assert walk.permission is None
    walk.step(Resume(), Resumed())


def test_what_is_forgotten_is_bounded_by_the_longest_wake() -> None:
    walk = Walk(AWAKE, seconds=86_400)
    walk.step(Ask(), replace(IDLE, busy_reasons=(BusyReason.CRONS,)))
    walk.step(Drain(after_turn=True), HELD)
    walk.step(Resume(), Resumed())
    walk.wait(2)
    walk.step(Ask(), replace(IDLE, busy_reasons=(BusyReason.CRONS,)))
    walk.step(Drain(after_turn=True), GRANTED)
    walk.step(Lower("41", 4), Lowering.DONE)


def test_a_wish_to_sleep_that_comes_during_a_question_is_not_made_to_wait() -> None:
    walk = Walk(AWAKE, seconds=100)
    assert walk.next() == Ask()
    walk.see(ASLEEP)
    walk.sleep = answered(walk.sleep, walk.facts, Ask(), BUSY, asked_at=100.0, now=walk.now)
    walk.step(Drain(after_turn=True), HELD)


@pytest.mark.parametrize(
    ("activity", "age", "expected"),
    [
        (replace(IDLE, last_activity=EPOCH), 1, 2.0),
        (replace(IDLE, last_activity=EPOCH), 40, 10.0),
        (replace(IDLE, last_activity=EPOCH), 400, 60.0),
        (replace(IDLE, last_activity=EPOCH), 595, 5.0),
        (replace(IDLE, last_activity=EPOCH), 599.99, 0.1),
        (BUSY, 400, 30.0),
        (BUSY, 50_000, 30.0),
    ],
)
def test_a_runner_is_asked_less_often_the_longer_it_is_awake_and_at_its_time(
    activity: Activity, age: float, expected: float
) -> None:
    walk = Walk(AWAKE, seconds=age)
    walk.step(Ask(), activity)
    walk.wait(expected)


def test_each_wish_to_sleep_has_its_time_anew() -> None:
    walk = Walk(ASLEEP)
    walk.step(Drain(after_turn=True), HELD)
    walk.see(replace(AWAKE, generation=6))
    walk.step(Resume(), Resumed())
    walk.seconds = 400
    walk.see(replace(ASLEEP, generation=7))
    walk.step(Drain(after_turn=True), HELD)
    walk.wait(0.5)
    walk.step(Drain(after_turn=True), HELD)
