"""Honest idleness: what keeps a runner busy, and the drain that relies on it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from repobridge.session.events import BusyReason, SessionState
from repobridge_runner.runner import Runner
from repobridge_runner.session import Session

DEFAULT_DRAIN_SECONDS = 30
DEFAULT_TERMINAL_IDLE_SECONDS = 600
LONGEST_DRAIN_SECONDS = 300


@dataclass(frozen=True, slots=True)
class DrainAnswer:
    """What became of a wish to drain; `seconds` is how long a hold lasts, 0 for none."""

    drained: bool
    reasons: tuple[BusyReason, ...]
    seconds: float


def busy_reasons(runner: Runner, *, terminal_idle_seconds: float) -> tuple[BusyReason, ...]:
    """Everything that keeps the runner from being put to sleep; empty when it is idle."""
    found: set[BusyReason] = set()
    for session in runner.sessions.values():
        found |= _of_session(session, time.time() - terminal_idle_seconds)
    acked = runner.log.acked_sequence
    if acked is not None and acked < runner.log.last_sequence:
        found.add(BusyReason.EVENTS_UNACKED)
    if runner.submitting:
        found.add(BusyReason.MESSAGES_QUEUED)
    return tuple(sorted(found, key=lambda reason: reason.value))


def drain(
    runner: Runner,
    drain_id: str,
    *,
    after_turn: bool,
    seconds: float,
    terminal_idle_seconds: float,
) -> DrainAnswer:
    """Grants a drain where nothing runs; with `after_turn` it holds the queue until then."""
    if runner.drain.is_held_by_other(drain_id):
        return DrainAnswer(False, (), 0)
    reasons = busy_reasons(runner, terminal_idle_seconds=terminal_idle_seconds)
    # What waits in the queue is durable, and is held: it does not stop a drain after the turn.
    held = {
        BusyReason.MESSAGES_QUEUED,
        BusyReason.EVENTS_UNACKED,
        BusyReason.CRONS,
        BusyReason.BACKGROUND_TASKS,
        BusyReason.TERMINAL_INPUT,
    }
    stops = [reason for reason in reasons if not (after_turn and reason in held)]
    if runner.submitting:
        stops.append(BusyReason.MESSAGES_QUEUED)
    if not stops:
        runner.hold(drain_id, seconds=seconds, granted=True)
        return DrainAnswer(True, (), seconds)
    if after_turn:
        runner.hold(drain_id, seconds=seconds, granted=False)
        return DrainAnswer(False, reasons, seconds)
    return DrainAnswer(False, reasons, 0)


def last_activity(runner: Runner) -> float:
    """When something last happened."""
    return max(
        [runner.started_at, *(session.last_activity for session in runner.sessions.values())]
    )


def last_turn(runner: Runner) -> float:
    """When a turn last began or ended; 0 before the first."""
    return max((session.last_turn for session in runner.sessions.values()), default=0.0)


def _of_session(session: Session, typed_since: float) -> set[BusyReason]:
    found = {
        BusyReason.TURN_OPEN: session.turn is not None or session.is_pasting,
        BusyReason.MESSAGES_QUEUED: session.queued > 0,
        BusyReason.REQUEST_WAITS: bool(session.requests.waiting),
        BusyReason.BACKGROUND_TASKS: session.is_live and session.background_tasks > 0,
        BusyReason.CRONS: session.is_live and session.session_crons > 0,
        BusyReason.TERMINAL_INPUT: session.attached > 0 and session.typed_at > typed_since,
        BusyReason.STARTING: session.state is SessionState.STARTING,
    }
    return {reason for reason, is_so in found.items() if is_so}
