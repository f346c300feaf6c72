"""What is not said yet, as more follows at once, and for how long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from repobridge.conditions import Reason
from repobridge_operator.observed import BridgeKey
from repobridge_operator.patience import ANSWER, NODE, Patience

_KEY = BridgeKey("team", "payments")
_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_BRIEF = timedelta(milliseconds=10)


def _until(
    patience: Patience, reason: Reason, *, at: datetime = _NOW, is_answered: bool = False
) -> datetime | None:
    return patience.until(_KEY, reason, is_answered=is_answered, now=at)


def test_a_pod_that_was_just_made_is_not_yet_said_to_wait_for_a_node() -> None:
    patience = Patience()
    patience.pod_made(_KEY, now=_NOW)
    assert _until(patience, Reason.SCHEDULING, at=_NOW + _BRIEF) == _NOW + NODE
    assert _until(patience, Reason.SCHEDULING, at=_NOW + NODE) is None
    assert _until(patience, Reason.SCHEDULING, at=_NOW + NODE + _BRIEF) is None


def test_a_pod_that_an_earlier_operator_made_is_said_to_wait_at_once() -> None:
    assert _until(Patience(), Reason.SCHEDULING) is None


def test_a_runner_is_said_to_serve_with_its_first_answer_or_soon_without() -> None:
    patience = Patience()
    assert _until(patience, Reason.SERVING) == _NOW + ANSWER
    assert _until(patience, Reason.SERVING, at=_NOW + _BRIEF) == _NOW + ANSWER
    assert _until(patience, Reason.SERVING, at=_NOW + _BRIEF, is_answered=True) is None

    assert _until(patience, Reason.SERVING) == _NOW + ANSWER
    assert _until(patience, Reason.SERVING, at=_NOW + ANSWER) is None


def test_an_address_that_nobody_knows_yet_is_never_held_back() -> None:
    patience = Patience()
    serving = Reason.SERVING
    assert patience.until(_KEY, serving, is_answered=False, has_address=True, now=_NOW) is None


def test_whatever_else_happens_is_said_at_once_and_ends_the_waiting() -> None:
    patience = Patience()
    patience.pod_made(_KEY, now=_NOW)
    assert _until(patience, Reason.UNSCHEDULABLE, at=_NOW + _BRIEF) is None
    assert _until(patience, Reason.SCHEDULING, at=_NOW + 2 * _BRIEF) is None


def test_a_new_wake_waits_anew() -> None:
    patience = Patience()
    assert _until(patience, Reason.SERVING) == _NOW + ANSWER
    later = _NOW + timedelta(hours=1)
    patience.pod_made(_KEY, now=later)
    assert _until(patience, Reason.SCHEDULING, at=later) == later + NODE
    assert _until(patience, Reason.STARTING, at=later + _BRIEF) is None
    assert _until(patience, Reason.SERVING, at=later + NODE) == later + NODE + ANSWER


def test_a_bridge_that_is_gone_is_forgotten() -> None:
    patience = Patience()
    patience.pod_made(_KEY, now=_NOW)
    patience.forget(_KEY)
    assert _until(patience, Reason.SCHEDULING) is None
