from __future__ import annotations

from repobridge.conditions import Reason
from repobridge_gateway.fleet.status import BridgePhase, BridgeStatus
from repobridge_gateway.render.wake import WakeStage
from repobridge_gateway.waking import as_told, make_wake

STAGES = tuple(WakeStage)
MISSING = BridgeStatus(BridgePhase.FAILED, reason='Secret "anthropic" is missing; create it.')


def test_a_step_is_shown_with_what_it_says() -> None:
    pulling = BridgeStatus(BridgePhase.WAKING, step=Reason.PULLING_IMAGE, detail="image x:1")
    wake = as_told(make_wake(1.0, STAGES), pulling, 3.0)
    assert wake == make_wake(1.0, STAGES).at(WakeStage.PULLING, 3.0, detail="image x:1")


def test_what_is_wrong_is_shown_until_a_step_follows() -> None:
    failed = as_told(make_wake(1.0, STAGES), MISSING, 2.0)
    assert failed.failure == MISSING.reason
    # Neither a try that begins anew nor one of which nothing is known takes the sentence away.
    assert as_told(failed, MISSING, 10.0) == failed
    assert as_told(failed, BridgeStatus(BridgePhase.ASLEEP), 11.0) == failed

    starting = BridgeStatus(BridgePhase.WAKING, step=Reason.STARTING)
    assert as_told(failed, starting, 12.0).failure == ""


def test_a_wake_without_steps_goes_on_where_it_was() -> None:
    """One machine tells that it wakes, and no more."""
    only = (WakeStage.STARTING,)
    failed = as_told(make_wake(1.0, only), MISSING, 2.0)
    assert as_told(failed, BridgeStatus(BridgePhase.WAKING), 3.0) == make_wake(1.0, only)
