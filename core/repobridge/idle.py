"""When a bridge may go to sleep: one pure policy for the local fleet and for the operator.

A runner says honestly whether it is idle (`Activity`); this decides what to do about that. Nothing
is stopped by this decision alone: the runner has to grant the `Drain` that it leads to.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from repobridge.session.events import BusyReason, RunnerState

_BOUNDED = frozenset({BusyReason.BACKGROUND_TASKS, BusyReason.CRONS, BusyReason.EVENTS_UNACKED})
"""What may be forgotten and stay for ever; `max_awake` bounds these, never a turn or a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What a runner said of itself; times are seconds since the epoch."""

    busy_reasons: tuple[BusyReason | None, ...] = ()
    """None stands for a reason that this version does not know: it is busy all the same."""
    last_activity: float | None = None
    last_turn: float | None = None
    state: RunnerState | None = RunnerState.SERVING
    log_id: str = ""
    last_sequence: int = 0
    queued_messages: int = 0
    live_sessions: int = 0
    sessions: int = 0
    problem_reason: str = ""
    """A constant for why nothing can run there before a person has mended it; empty: it can."""
    problem: str = ""
    """The same as a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """What a runner said to the wish that it drain."""

    is_granted: bool
    """Nothing runs, and nothing new is taken until the lease is over."""
    is_held: bool = False
    """The lease runs: new messages are refused, whether or not it is granted already."""
    busy_reasons: tuple[BusyReason | None, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class IdlePolicy:
    """How long a bridge may idle."""

    idle_seconds: float
    max_awake_seconds: float = 24 * 3600.0
    """How long what nobody waits for (background tasks, crons) may keep it awake after a turn."""
    min_replicas: int = 0


class IdleAction(Enum):
    """What to do with an awake bridge."""

    STAY = "Stay"
    DRAIN = "Drain"
    """Ask the runner to drain if it is idle."""
    DRAIN_AFTER_TURN = "DrainAfterTurn"
    """Ask it to drain although something forgotten still keeps it busy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleDecision:
    """What to do, why, and when to ask again."""

    action: IdleAction
    reason: str
    """A constant: "Busy", "RecentlyActive", "MinReplicas", "Idle", "MaxAwake"."""
    idle_seconds: float = 0.0
    check_after_seconds: float = 0.0
    """The earliest time at which the answer can change by the clock alone."""


def decide(
    activity: Activity, *, policy: IdlePolicy, awake_since: float, now: float
) -> IdleDecision:
    """Whether an awake bridge stays or should be asked to drain."""
    if policy.min_replicas > 0:
        return _stay("MinReplicas", after=policy.idle_seconds)
    last_activity = max(activity.last_activity or 0.0, awake_since)
    idle_for = max(0.0, now - last_activity)
    # A clone that takes longer than the idle time would never come to its end.
    is_preparing = activity.state is RunnerState.PREPARING and not activity.problem_reason
    if activity.busy_reasons or is_preparing:
        return _busy(activity, policy, awake_since=awake_since, now=now)
    if idle_for < policy.idle_seconds:
        return _stay("RecentlyActive", after=policy.idle_seconds - idle_for, idle_for=idle_for)
    return IdleDecision(action=IdleAction.DRAIN, reason="Idle", idle_seconds=idle_for)


def _busy(
    activity: Activity, policy: IdlePolicy, *, awake_since: float, now: float
) -> IdleDecision:
    without_turn = now - max(activity.last_turn or 0.0, awake_since)
    if not _BOUNDED.issuperset(activity.busy_reasons):
        return _stay("Busy", after=policy.idle_seconds)
    if without_turn < policy.max_awake_seconds:
        left = policy.max_awake_seconds - without_turn
        return _stay("Busy", after=min(policy.idle_seconds, left))
    return IdleDecision(
        action=IdleAction.DRAIN_AFTER_TURN, reason="MaxAwake", idle_seconds=without_turn
    )


def _stay(reason: str, *, after: float, idle_for: float = 0.0) -> IdleDecision:
    return IdleDecision(
        action=IdleAction.STAY, reason=reason, idle_seconds=idle_for, check_after_seconds=after
    )
