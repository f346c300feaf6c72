from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repobridge.idle import (
    Activity,
    IdleAction,
    IdleDecision,
    IdlePolicy,
    decide,
)
from repobridge.session.events import BusyReason, RunnerState

POLICY = IdlePolicy(idle_seconds=600.0, max_awake_seconds=86_400.0)
FORGOTTEN = (BusyReason.BACKGROUND_TASKS, BusyReason.CRONS, BusyReason.EVENTS_UNACKED)


def test_an_idle_bridge_drains_once_the_time_is_over() -> None:
    activity = Activity(last_activity=1000.0)
    assert decide(activity, policy=POLICY, awake_since=0.0, now=1600.0) == IdleDecision(
        action=IdleAction.DRAIN, reason="Idle", idle_seconds=600.0
    )


def test_before_that_it_stays_and_says_when_to_ask_again() -> None:
    activity = Activity(last_activity=1000.0)
    assert decide(activity, policy=POLICY, awake_since=0.0, now=1100.0) == IdleDecision(
        action=IdleAction.STAY, reason="RecentlyActive", idle_seconds=100.0,
        check_after_seconds=500.0,
    )  # fmt: skip


def test_waking_counts_as_activity() -> None:
    activity = Activity(last_activity=10.0)
    decision = decide(activity, policy=POLICY, awake_since=1000.0, now=1100.0)
    assert (decision.action, decision.check_after_seconds) == (IdleAction.STAY, 500.0)


@pytest.mark.parametrize("reason", [*BusyReason, None])
def test_no_busy_bridge_drains_within_the_day(reason: BusyReason | None) -> None:
    activity = Activity(busy_reasons=(reason,), last_activity=0.0, last_turn=0.0)
    decision = decide(activity, policy=POLICY, awake_since=0.0, now=86_399.0)
    assert (decision.action, decision.reason) == (IdleAction.STAY, "Busy")


@pytest.mark.parametrize("reason", [*BusyReason, None])
def test_only_what_may_be_forgotten_is_bounded_by_the_longest_wake(
    reason: BusyReason | None,
) -> None:
    activity = Activity(busy_reasons=(reason,), last_activity=90_000.0, last_turn=100.0)
    decision = decide(activity, policy=POLICY, awake_since=0.0, now=90_000.0)
    expected = IdleAction.DRAIN_AFTER_TURN if reason in FORGOTTEN else IdleAction.STAY
    assert decision.action is expected


def test_a_bridge_with_a_least_replica_stays() -> None:
    policy = IdlePolicy(idle_seconds=1.0, min_replicas=1)
    decision = decide(Activity(last_activity=0.0), policy=policy, awake_since=0.0, now=1e9)
    assert (decision.action, decision.reason) == (IdleAction.STAY, "MinReplicas")


def test_a_clone_may_take_longer_than_the_idle_time_but_not_for_ever() -> None:
    cloning = Activity(last_activity=0.0, state=RunnerState.PREPARING)
    assert decide(cloning, policy=POLICY, awake_since=0.0, now=86_399.0).action is IdleAction.STAY
    assert decide(cloning, policy=POLICY, awake_since=0.0, now=86_400.0).reason == "MaxAwake"
    failed = replace(cloning, problem_reason="CLONE_FAILED", problem="The clone failed.")
    assert decide(failed, policy=POLICY, awake_since=0.0, now=600.0).action is IdleAction.DRAIN


@given(
    st.sets(st.sampled_from([*BusyReason, None])),
    st.floats(0, 1e6),
    st.floats(0, 1e6),
    st.floats(0, 1e6),
)
def test_a_drain_is_never_sooner_than_the_idle_time_and_stay_always_asks_again(
    busy: set[BusyReason | None], last: float, awake: float, now: float
) -> None:
    activity = Activity(busy_reasons=tuple(busy), last_activity=last, last_turn=last)
    decision = decide(activity, policy=POLICY, awake_since=awake, now=now)
    if decision.action is IdleAction.STAY:
        assert decision.check_after_seconds > 0
    else:
        assert now - max(last, awake) >= POLICY.idle_seconds
