"""What the way to sleep is told of a bridge and its pod."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from repobridge.idle import IdlePolicy
from repobridge_operator.sleep_facts import facts_of
from repobridge_operator.sleep_values import Facts, Want
from tests.unit.operator.bridges import UID, bridge

MADE = "2026-03-01T10:00:00Z"
STARTED = "2026-03-01T10:00:05Z"
SINCE = "2026-03-01T11:00:00Z"


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def pod(state: dict[str, Any] | None, *, phase: str = "Running", ip: str = "") -> dict[str, Any]:
    statuses = [{"name": "runner", "state": state}] if state else []
    return {
        "metadata": {"uid": "p", "resourceVersion": "17", "creationTimestamp": MADE},
        "status": {"phase": phase, "containerStatuses": statuses} | ({"podIP": ip} if ip else {}),
    }


RUNNING = pod({"running": {"startedAt": STARTED}}, ip="10.0.0.7")


def test_everything_is_read_from_the_two_objects() -> None:
    spec = {"scaling": {"idleTimeout": "5m", "maxAwake": "2h", "drainTimeout": "90s"}}
    assert facts_of(bridge(spec, generation=3), RUNNING, want=Want.AWAKE) == Facts(
        want=Want.AWAKE,
        bridge_uid=UID,
        pod_uid="p",
        address="10.0.0.7",
        port=7443,
        is_running=True,
        awake_since=seconds(STARTED),
        asleep_since=None,
        resource_version="",
        generation=3,
        pod_version="17",
        policy=IdlePolicy(idle_seconds=300.0, max_awake_seconds=7200.0, min_replicas=0),
        drain_timeout_seconds=90.0,
    )


@pytest.mark.parametrize(("started", "expected"), [(False, True), (True, False)])
def test_a_runner_starts_up_until_its_probe_has_passed(started: bool, expected: bool) -> None:
    found = pod({"running": {"startedAt": STARTED}}, ip="10.0.0.7")
    found["status"]["containerStatuses"][0]["started"] = started
    assert facts_of(bridge(), found, want=Want.AWAKE).is_starting_up is expected


@pytest.mark.parametrize(
    "found",
    [
        pod(None, phase="Pending"),
        pod({"waiting": {"reason": "ImagePullBackOff"}}, phase="Pending"),
        pod({"terminated": {"exitCode": 137}}, phase="Failed"),
    ],
)
def test_without_a_process_nothing_runs_and_its_time_begins_with_the_pod(
    found: dict[str, Any],
) -> None:
    facts = facts_of(bridge(), found, want=Want.ASLEEP)
    assert (facts.is_running, facts.address, facts.awake_since) == (False, "", seconds(MADE))


def ready(reason: str, since: str = SINCE) -> dict[str, Any]:
    condition = {
        "type": "Ready",
        "status": "False",
        "reason": reason,
        "lastTransitionTime": since,
    }
    return {"conditions": [condition]}


def test_the_status_says_since_when_it_drains() -> None:
    draining = bridge(status=ready("Draining"))
    assert facts_of(draining, RUNNING, want=Want.ASLEEP).asleep_since == seconds(SINCE)


def test_another_reason_says_nothing_of_it_and_an_older_time_is_another_pods() -> None:
    starting = bridge(status=ready("Starting"))
    assert facts_of(starting, RUNNING, want=Want.ASLEEP).asleep_since is None
    older = bridge(status=ready("Draining", "2026-02-01T00:00:00Z"))
    assert facts_of(older, RUNNING, want=Want.ASLEEP).asleep_since == seconds(STARTED)
