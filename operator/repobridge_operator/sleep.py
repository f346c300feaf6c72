"""How one pod is put to sleep: a pure state machine, told facts and answers, that says what to do.

The reconciler deletes a pod only with a `Permission` from here: its runner agreed to a drain whose
lease still runs; or nothing runs in it; or `drainTimeout` is over and the runner was told to
interrupt its turns and still does not agree, or can't be reached. Nothing of it is stored: a new
operator asks again under the same drain id, and reads from the status since when the bridge is to
sleep.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from repobridge.idle import Activity, Drained, IdleAction, decide
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

LEASE_SECONDS = 30.0
RENEW_SECONDS = 12.0
"""So long before its end a lease is renewed."""
DELETE_SECONDS = 8.0
"""So long before the lease's end the permission ends: the deletion has to reach the kubelet."""
INTERRUPT_SECONDS = 30.0
"""So long a runner has after its turns were interrupted."""
UNREACHABLE_SECONDS = 30.0
UNREACHABLE_FAILURES = 3
QUIET_SECONDS = 60.0
BUSY_SECONDS = 30.0
_YOUNG_SECONDS = 2.0
_SOON_SECONDS = 0.5
_AGAIN_SECONDS = 10.0
_LOWER_AGAIN_SECONDS = 1.0


class Phase(Enum):
    """How far a pod's way to sleep is."""

    WATCHED = "Watched"
    FOUND_IDLE = "FoundIdle"
    HELD = "Held"
    """A drain was asked for: it may hold the queue, but is not granted."""
    AGREED = "Agreed"
    LOWERED = "Lowered"
    """The runner agreed and the wish was lowered, which the watch has not shown yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sleep:
    """What is under way with one pod; times are monotonic."""

    phase: Phase = Phase.WATCHED
    due: float = 0.0
    until: float = 0.0
    """HELD, AGREED: the lease runs at least so long."""
    after_turn: bool = False
    version: str = ""
    """The bridge's resourceVersion when its pod was found idle; a wake since then wins."""
    generation: int = 0
    reason: str = ""
    """Why it was found idle, as the policy's constant says."""
    woken_at: float = 0.0
    """When the wish rose again while the pod was there: seconds since the epoch."""
    asleep_since: float | None = None
    interrupted_at: float | None = None
    interrupt_due: float = 0.0
    failures: int = 0
    failing_since: float = 0.0


def observed(sleep: Sleep, facts: Facts, *, before: Facts | None, now: Now) -> Sleep:
    """The state after the cluster told something new."""
    if facts.want is Want.AWAKE and (
        (before and before.want is Want.ASLEEP)
        or (sleep.phase is Phase.LOWERED and facts.generation > sleep.generation)
    ):
        sleep = replace(sleep, woken_at=now.wall)
    if facts.want is not Want.ASLEEP:
        sleep = replace(sleep, asleep_since=None, interrupted_at=None, interrupt_due=0.0)
    elif sleep.asleep_since is None:
        passed = max(0.0, now.wall - (facts.asleep_since or now.wall))
        sleep = replace(sleep, asleep_since=now.monotonic - passed)
    if sleep.phase is Phase.LOWERED and facts.generation > sleep.generation:
        # With the generation of our own write the wish is ours; it is another's if it is awake.
        sleep = replace(sleep, phase=Phase.AGREED, generation=facts.generation, version="")
    if sleep.phase is Phase.WATCHED and _has_started(before, facts):
        sleep = replace(sleep, failures=0)  # they say nothing of a runner that is there by now
    if before is None or _is_news(before, facts):
        sleep = replace(sleep, due=now.monotonic)
    return sleep


def _has_started(before: Facts | None, facts: Facts) -> bool:
    return before is not None and before.is_starting_up and not facts.is_starting_up


def _is_news(before: Facts, facts: Facts) -> bool:
    return _of_note(before) != _of_note(facts)


def _of_note(facts: Facts) -> tuple[object, ...]:
    return facts.want, facts.address, facts.policy, facts.is_running, facts.is_starting_up


def next_action(sleep: Sleep, facts: Facts, now: Now) -> Action | Wait:
    """What is to be done now."""
    match sleep.phase:
        case Phase.WATCHED:
            step = _watched(facts)
        case Phase.FOUND_IDLE:
            step = Drain(after_turn=sleep.after_turn or facts.want is Want.ASLEEP)
        case Phase.HELD:
            step = _held(sleep, facts, now)
        case Phase.AGREED if now.monotonic < sleep.until:
            step = _agreed(sleep, facts, now)
        case Phase.LOWERED if now.monotonic < sleep.until:
            step = Wait(sleep.until - now.monotonic)
        case _:
            step = _watched(facts)
    if isinstance(step, Wait):
        return step
    return step if now.monotonic >= sleep.due else Wait(sleep.due - now.monotonic)


def _watched(facts: Facts) -> Action | Wait:
    if not facts.is_running:
        return Wait(QUIET_SECONDS)
    return Drain(after_turn=True) if facts.want is Want.ASLEEP else Ask()


def _held(sleep: Sleep, facts: Facts, now: Now) -> Action:
    if facts.want is not Want.ASLEEP:
        return Resume()
    # Only while the queue is held for certain: else the next message would go in at once.
    is_held = sleep.failures == 0 and now.monotonic < sleep.until - RENEW_SECONDS
    if _is_overdue(sleep, facts, now) and is_held and now.monotonic >= sleep.interrupt_due:
        return Interrupt()
    return Drain(after_turn=True)


def _agreed(sleep: Sleep, facts: Facts, now: Now) -> Action | Wait:
    match facts.want:
        case Want.AWAKE if sleep.version and facts.generation == sleep.generation:
            return Lower(sleep.version, sleep.generation)
        case Want.AWAKE:
            return Resume()
    left = sleep.until - RENEW_SECONDS - now.monotonic
    return Wait(left) if left > 0 else Drain(after_turn=facts.want is Want.ASLEEP)


def begun(sleep: Sleep, action: Action) -> Sleep:
    """The state once an action is under way: from a Resume on, no agreement counts."""
    return replace(sleep, phase=Phase.HELD) if isinstance(action, Resume) else sleep


def answered(
    sleep: Sleep, facts: Facts, action: Action, answer: Answer, *, asked_at: float, now: Now
) -> Sleep:
    """The state after an action's answer; `asked_at` is when the action began, monotonic."""
    match answer:
        case Unreached():
            return _unreached(sleep, action, asked_at=asked_at, now=now)
        case Lowering():
            return _lowered(sleep, facts, answer, now)
    sleep = replace(sleep, failures=0)
    match answer:
        case Activity():
            return _asked(sleep, facts, answer, now)
        case Drained():
            return _drained(sleep, facts, answer, asked_at=asked_at, now=now)
        case Interrupted():
            return _interrupted(sleep, now)
        case Resumed():
            return _rested(sleep, facts, now.monotonic + _YOUNG_SECONDS, now=now)


def _interrupted(sleep: Sleep, now: Now) -> Sleep:
    first = now.monotonic if sleep.interrupted_at is None else sleep.interrupted_at
    again = now.monotonic + _AGAIN_SECONDS
    return replace(
        sleep, interrupted_at=first, interrupt_due=again, due=now.monotonic + _SOON_SECONDS
    )


def _asked(sleep: Sleep, facts: Facts, activity: Activity, now: Now) -> Sleep:
    if facts.want is Want.ASLEEP:  # since it was asked
        return _rested(sleep, facts, now.monotonic, now=now)
    policy = facts.policy
    if facts.want is Want.FRESH:
        policy = replace(policy, idle_seconds=0.0, min_replicas=0)
    awake_since = max(facts.awake_since, sleep.woken_at)
    decision = decide(activity, policy=policy, awake_since=awake_since, now=now.wall)
    if decision.action is not IdleAction.STAY:
        return replace(
            sleep,
            phase=Phase.FOUND_IDLE,
            after_turn=decision.action is IdleAction.DRAIN_AFTER_TURN,
            # Found idle for another pod's sake, it is not to sleep.
            version=facts.resource_version if facts.want is Want.AWAKE else "",
            generation=facts.generation,
            reason=decision.reason,
            due=now.monotonic,
        )
    longest = BUSY_SECONDS if activity.busy_reasons else QUIET_SECONDS
    # A pod that just woke changes more than one that has been there for long.
    seconds = min(max((now.wall - facts.awake_since) / 4, _YOUNG_SECONDS), longest)
    if not activity.busy_reasons:
        seconds = min(seconds, max(decision.check_after_seconds, 0.1))
    return _rested(sleep, facts, now.monotonic + seconds, now=now)


def _drained(sleep: Sleep, facts: Facts, answer: Drained, *, asked_at: float, now: Now) -> Sleep:
    if answer.is_granted:
        until = asked_at + LEASE_SECONDS
        return replace(sleep, phase=Phase.AGREED, until=until, due=now.monotonic)
    if facts.want is Want.ASLEEP:
        since = sleep.asleep_since if sleep.asleep_since is not None else now.monotonic
        # Soon after the wish the turn's end is seen at once; a lease of 30 s bears a few misses.
        seconds = min(max((now.monotonic - since) / 10, _SOON_SECONDS), 5.0)
        if _is_overdue(sleep, facts, now):
            seconds = _SOON_SECONDS
        # Where it is not held for us, it is held for another who drains it.
        return replace(
            sleep,
            phase=Phase.HELD,
            until=asked_at + LEASE_SECONDS,
            due=now.monotonic + seconds,
        )
    if answer.is_held or now.monotonic < sleep.until:
        # A turn began before the drain came, or the lease that ran is not renewed: let it go.
        until = max(sleep.until, asked_at + LEASE_SECONDS)
        return replace(sleep, phase=Phase.HELD, until=until, due=now.monotonic)
    return _rested(sleep, facts, now.monotonic + _YOUNG_SECONDS, now=now)


def _lowered(sleep: Sleep, facts: Facts, answer: Lowering, now: Now) -> Sleep:
    if facts.generation > sleep.generation and (
        answer is Lowering.DONE or facts.want is Want.ASLEEP
    ):
        # The watch was faster than the answer: what it told counts, and the lease still runs.
        return replace(sleep, version="", generation=facts.generation, due=now.monotonic)
    match answer:
        case Lowering.DONE:
            return replace(sleep, phase=Phase.LOWERED)
        case Lowering.FAILED if now.monotonic + RENEW_SECONDS < sleep.until:
            return replace(sleep, due=now.monotonic + _LOWER_AGAIN_SECONDS)
    return replace(sleep, phase=Phase.HELD, due=now.monotonic)


def _unreached(sleep: Sleep, action: Action, *, asked_at: float, now: Now) -> Sleep:
    failures = min(sleep.failures + 1, 1000)
    sleep = replace(
        sleep,
        failures=failures,
        failing_since=sleep.failing_since if sleep.failures else asked_at,
        due=now.monotonic + min(2.0 ** (failures - 1), 15.0),
    )
    if isinstance(action, Ask):
        return replace(sleep, phase=Phase.WATCHED)
    if isinstance(action, Resume) and now.monotonic >= sleep.until + _AGAIN_SECONDS:
        return replace(sleep, phase=Phase.WATCHED)  # it has let go by itself
    if isinstance(action, Drain) and sleep.phase is not Phase.AGREED:
        # It may have come through all the same: the runner holds its queue for a lease then.
        return replace(sleep, phase=Phase.HELD, until=max(sleep.until, asked_at + LEASE_SECONDS))
    return sleep


def _rested(sleep: Sleep, facts: Facts, due: float, *, now: Now) -> Sleep:
    due = now.monotonic if facts.want is Want.ASLEEP else due
    return replace(sleep, phase=Phase.WATCHED, until=0.0, version="", reason="", due=due)


def _is_overdue(sleep: Sleep, facts: Facts, now: Now) -> bool:
    since = sleep.asleep_since
    return since is not None and now.monotonic >= since + facts.drain_timeout_seconds


def permission(sleep: Sleep, facts: Facts, now: Now) -> Permission | None:
    """Leave to delete the pod now, if there is."""
    if facts.want is Want.AWAKE:
        return None
    if not facts.is_running:
        return Permission(facts.pod_uid, Ground.NOTHING_RUNS, facts.pod_version)
    ground = _ground(sleep, facts, now)
    return Permission(facts.pod_uid, ground) if ground else None


def _ground(sleep: Sleep, facts: Facts, now: Now) -> Ground | None:
    if sleep.phase is Phase.AGREED and now.monotonic < sleep.until - DELETE_SECONDS:
        return Ground.DRAINED
    if not _is_overdue(sleep, facts, now):
        return None
    cut, silent = sleep.interrupted_at, sleep.failures >= UNREACHABLE_FAILURES
    if cut is not None and now.monotonic >= cut + INTERRUPT_SECONDS:
        return Ground.DRAIN_TIMEOUT
    if silent and now.monotonic >= sleep.failing_since + UNREACHABLE_SECONDS:
        return Ground.UNREACHABLE
    return None
