"""What is read of a pod's status, at each of its stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from repobridge_operator.podstate import (
    died_at,
    lived_seconds,
    node_lost_since,
    overdue_at,
    pod_address,
    pod_has_started,
    pod_is_failed,
    pod_is_finished,
    pod_is_going,
    pod_is_ready,
    pod_is_running,
    time_of,
)
from tests.unit.operator.pods import condition, ended, failed_by, pod, running, unscheduled, waiting

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
LATER = datetime(2026, 11, 21, 13, tzinfo=UTC)


def _has_address(one: Mapping[str, Any]) -> bool:
    return bool(pod_address(one))


def _told(one: dict[str, Any]) -> set[str]:
    facts: dict[str, Callable[[Mapping[str, Any]], bool]] = {
        "finished": pod_is_finished,
        "failed": pod_is_failed,
        "started": pod_has_started,
        "running": pod_is_running,
        "ready": pod_is_ready,
        "address": _has_address,
    }
    return {name for name, holds in facts.items() if holds(one)}


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (pod({}), set()),
        (unscheduled("0/1 nodes are available"), set()),
        (waiting("ContainerCreating"), set()),
        (running(ready=False), {"started", "running", "address"}),
        (running(), {"started", "running", "ready", "address"}),
        (ended(), {"finished", "failed", "started"}),
        (ended(code=0, reason="Completed", phase="Succeeded"), {"finished", "started"}),
        (failed_by("Evicted", "The node was low on resource: memory."), {"finished", "failed"}),
    ],
    ids=["new", "unscheduled", "creating", "running", "ready", "crashed", "ended", "evicted"],
)
def test_each_stage_is_recognised(one: dict[str, Any], expected: set[str]) -> None:
    assert _told(one) == expected


def test_a_container_beside_ours_does_not_keep_a_pod_alive() -> None:
    one = ended(phase="Running")
    one["status"]["containerStatuses"].append({"name": "mesh", "state": {"running": {}}})
    assert _told(one) == {"finished", "failed", "started"}


def test_a_pod_that_ended_well_beside_another_container_is_not_failed() -> None:
    assert not pod_is_failed(ended(code=0, reason="Completed", phase="Running"))


def test_how_long_it_lived_and_when_it_died_are_the_containers() -> None:
    one = ended(started="2026-11-21T12:00:02Z", finished="2026-11-21T12:10:02Z")
    assert (lived_seconds(one), died_at(one)) == (600.0, time_of("2026-11-21T12:10:02Z"))


def test_a_pod_without_a_container_died_with_its_last_condition() -> None:
    late = "2026-11-21T12:07:00Z"
    one = failed_by("Evicted", "", conditions=[condition("DisruptionTarget", "True", late)])
    assert (lived_seconds(one), died_at(one)) == (0.0, time_of(late))
    assert died_at(failed_by("OutOfmemory", "")) == NOON


# ------------------------------------------------------------------------------------ node loss


def _silent(**more: Any) -> dict[str, Any]:
    """As the node controller leaves a pod of a silent node: only `Ready` is changed."""
    one = running(**more)
    one["status"]["conditions"][-1] = condition("Ready", "False", "2026-11-21T12:30:00Z")
    return one


def test_a_silent_node_is_seen_in_its_pod() -> None:
    assert node_lost_since(_silent(), now=LATER) == time_of("2026-11-21T12:30:00Z")


@pytest.mark.parametrize(
    "one",
    [running(), running(ready=False), waiting("ContainerCreating"), unscheduled("0/1"), ended()],
    ids=["ready", "failing its probe", "creating", "unscheduled", "ended"],
)
def test_nothing_else_is_taken_for_a_silent_node(one: dict[str, Any]) -> None:
    assert node_lost_since(one, now=LATER) is None


def test_somebody_elses_readiness_gate_is_not_taken_for_a_silent_node() -> None:
    one = _silent()
    one["spec"]["readinessGates"] = [{"conditionType": "example.com/balanced"}]
    assert node_lost_since(one, now=LATER) is None


def test_a_deletion_that_nobody_confirms_is_a_lost_node() -> None:
    one = running(deleted="2026-11-21T12:40:00Z")
    assert pod_is_going(one)
    assert overdue_at(one) == time_of("2026-11-21T12:41:00Z")
    assert node_lost_since(one, now=time_of("2026-11-21T12:40:59Z")) is None
    assert node_lost_since(one, now=time_of("2026-11-21T12:41:00Z")) == time_of(
        "2026-11-21T12:40:00Z"
    )


def test_a_node_is_lost_since_it_first_was_silent() -> None:
    one = _silent(deleted="2026-11-21T12:35:35Z")
    assert node_lost_since(one, now=LATER) == time_of("2026-11-21T12:30:00Z")


def test_a_pod_that_is_deleted_before_it_has_a_node_loses_none() -> None:
    one = pod(node="", deleted="2026-11-21T12:00:35Z")
    assert node_lost_since(one, now=LATER) is None


def test_a_pod_that_is_not_deleted_is_never_overdue() -> None:
    assert overdue_at(running()) is None
