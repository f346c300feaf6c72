"""The status is written when it says something new, and not otherwise."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from repobridge.claims import ACCEPTED, Verdict
from repobridge.conditions import Phase, Reason, sentence
from repobridge.crd import RepoBridgeStatus
from repobridge.idle import Activity
from repobridge_operator.podstate import time_of
from repobridge_operator.status import Seen, Standing, observe
from repobridge_operator.statuswrite import make_status, stand_in
from tests.unit.operator.bridges import FULL, UID, bridge
from tests.unit.operator.pods import POD_UID, running

NOW = time_of("2026-11-21T12:00:02.750Z")
LATER = time_of("2026-11-21T13:30:00Z")
ACTIVE = time_of("2026-11-21T12:00:00Z").timestamp()


def _standing(activity: Activity | None = None, *, ready: bool = True) -> Standing:
    seen = Seen(bridge=bridge(FULL), verdict=ACCEPTED, pod=running(ready=ready), activity=activity)
    return observe(seen, now=NOW)


def _written(
    standing: Standing, before: RepoBridgeStatus | None = None, *, now: datetime = NOW
) -> RepoBridgeStatus:
    status = make_status(before or RepoBridgeStatus(), standing, now=now)
    assert status is not None
    return RepoBridgeStatus.model_validate(status)


def test_the_whole_status_is_written_at_first() -> None:
    activity = Activity(last_activity=ACTIVE + 0.9, live_sessions=2)
    assert make_status(RepoBridgeStatus(), _standing(activity), now=NOW) == {
        "observedGeneration": 1,
        "phase": "Ready",
        "replicas": 1,
        "selector": f"app.kubernetes.io/name=session-runner,repobridge.dev/uid={UID}",
        "channelId": "1123581321345589144",
        "endpoint": {
            "podName": "rb-payments-0",
            "podUID": POD_UID,
            "address": "10.88.0.7",
            "port": 7443,
        },
        "sessions": 2,
        "lastActivityTime": "2026-11-21T12:00:00Z",
        "conditions": [
            {
                "type": "Accepted",
                "status": "True",
                "reason": "Accepted",
                "message": "The spec can be served.",
                "observedGeneration": 1,
                "lastTransitionTime": "2026-11-21T12:00:02Z",
            },
            {
                "type": "Ready",
                "status": "True",
                "reason": "Serving",
                "message": "The runner serves.",
                "observedGeneration": 1,
                "lastTransitionTime": "2026-11-21T12:00:02Z",
            },
            {
                "type": "UpdatePending",
                "status": "False",
                "reason": "UpToDate",
                "message": "The pod is as the spec has it.",
                "observedGeneration": 1,
                "lastTransitionTime": "2026-11-21T12:00:02Z",
            },
        ],
    }


def test_what_is_said_already_is_not_written() -> None:
    standing = _standing(Activity(last_activity=ACTIVE))
    assert make_status(_written(standing), standing, now=LATER) is None


def test_a_transition_time_moves_with_its_conditions_status_alone() -> None:
    before = _written(_standing(ready=False))
    after = _written(_standing(), before, now=LATER)
    times = {each.type: each.last_transition_time for each in after.conditions}
    first = time_of("2026-11-21T12:00:02Z")
    assert times == {"Accepted": first, "Ready": LATER, "UpdatePending": first}


def test_a_new_reason_is_written_with_the_old_transition_time() -> None:
    before = _written(_standing(ready=False))
    standing = replace(_standing(ready=False), phase=Phase.FAILED)
    standing = replace(standing, ready=replace(standing.ready, reason=Reason.RUNNER_SILENT))
    ready = _written(standing, before, now=LATER).condition("Ready")
    assert ready is not None
    assert (ready.reason, ready.last_transition_time) == (
        "RunnerSilent",
        time_of("2026-11-21T12:00:02Z"),
    )


@pytest.mark.parametrize(
    ("seconds", "written"), [(0, False), (1, False), (299, False), (300, True), (4000, True)]
)
def test_the_time_of_the_last_activity_alone_is_written_every_five_minutes(
    seconds: int, written: bool
) -> None:
    before = _written(_standing(Activity(last_activity=ACTIVE)))
    standing = _standing(Activity(last_activity=ACTIVE + seconds))
    assert (make_status(before, standing, now=LATER) is not None) is written


def test_the_time_of_the_last_activity_goes_along_with_other_changes() -> None:
    before = _written(_standing(Activity(last_activity=ACTIVE)))
    standing = _standing(Activity(last_activity=ACTIVE + 10, live_sessions=1))
    after = _written(standing, before, now=LATER)
    assert after.last_activity_time == time_of("2026-11-21T12:00:10Z")


def test_the_first_activity_is_written_at_once() -> None:
    before = _written(_standing())
    standing = _standing(Activity(last_activity=ACTIVE))
    assert make_status(before, standing, now=LATER) is not None


@pytest.mark.parametrize(
    "changes",
    [{"generation": 2}, {"endpoint": None}, {"sessions": 5}, {"replicas": 0}, {"channel_id": ""}],
)
def test_every_other_change_is_written(changes: dict[str, Any]) -> None:
    before = _written(_standing())
    assert make_status(before, replace(_standing(), **changes), now=LATER) is not None


def test_a_clock_that_went_back_writes_nothing() -> None:
    standing = _standing()
    assert make_status(_written(standing), standing, now=NOW - timedelta(days=1)) is None


def test_an_object_whose_spec_cant_be_read_gets_a_status_and_settles() -> None:
    obj: dict[str, Any] = {
        "metadata": {"name": "payments", "namespace": "team", "uid": UID, "generation": 4},
        "spec": {"discord": {"channelId": 5}},
    }
    message = sentence(Reason.SPEC_INVALID, path="spec.discord.channelId", detail="is a number")
    verdict = Verdict(accepted=False, reason=Reason.SPEC_INVALID, message=message)
    seen = Seen(bridge=stand_in(obj), verdict=verdict)
    status = make_status(seen.bridge.status, observe(seen, now=NOW), now=NOW)
    assert status is not None
    assert (status["phase"], status["observedGeneration"]) == ("Failed", 4)
    assert [each["reason"] for each in status["conditions"]] == [
        "SpecInvalid",
        "NotAccepted",
        "UpToDate",
    ]
    again = Seen(bridge=stand_in(obj | {"status": status}), verdict=verdict)
    assert make_status(again.bridge.status, observe(again, now=LATER), now=LATER) is None


def test_a_status_that_cant_be_read_is_written_anew() -> None:
    obj = {"metadata": {"name": "p", "namespace": "team", "uid": UID}, "status": {"phase": "Odd"}}
    assert stand_in(obj).status == RepoBridgeStatus()
