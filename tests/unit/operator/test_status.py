"""Where a bridge stands, from everything that was seen of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from repobridge.claims import ACCEPTED, Verdict
from repobridge.conditions import Phase, Reason, sentence
from repobridge.crd import Endpoint
from repobridge.idle import Activity
from repobridge.session.events import RunnerState
from repobridge_operator.podstate import time_of
from repobridge_operator.refusals import ApiRefusal
from repobridge_operator.resources import naming
from repobridge_operator.status import Said, Seen, Standing, observe, wanted_replicas
from tests.unit.operator.bridges import FULL, UID, bridge
from tests.unit.operator.pods import (
    POD_UID,
    condition,
    ended,
    event,
    pod,
    running,
    unscheduled,
    waiting,
)

NOW = datetime(2026, 11, 21, 13, tzinfo=UTC)
AWAKE = {"replicas": 1}
ACTIVE = time_of("2026-11-21T12:40:00Z")
SERVING = Activity(last_activity=ACTIVE.timestamp() + 0.9, live_sessions=2)
PREPARING = Activity(state=RunnerState.PREPARING)
ENDPOINT = Endpoint(pod_name="rb-payments-0", pod_uid=POD_UID, address="10.88.0.7", port=7443)
UP_TO_DATE = Said(False, Reason.UP_TO_DATE, "The pod is as the spec has it.")
_TAKEN = Verdict(accepted=False, reason=Reason.CHANNEL_TAKEN, message="Taken.")


def _seen(
    spec: Mapping[str, Any] | None = None, *, status: Mapping[str, Any] | None = None, **more: Any
) -> Seen:
    return Seen(bridge=bridge(spec, status=status), **{"verdict": ACCEPTED, **more})


def _told(seen: Seen) -> tuple[Phase, bool, Reason]:
    standing = observe(seen, now=NOW)
    return standing.phase, standing.ready.holds, standing.ready.reason


def _problem(reason: str) -> Activity:
    return Activity(
        state=RunnerState.PREPARING, problem_reason=reason, problem="No such repository."
    )


def _silent_node() -> dict[str, Any]:
    one = running()
    one["status"]["conditions"][-1] = condition("Ready", "False", "2026-11-21T12:30:00Z")
    return one


def _starting() -> dict[str, Any]:
    one = running(ready=False)
    one["status"]["containerStatuses"][0]["started"] = False
    return one


# --------------------------------------------------------------------------- whole standings


def test_a_bridge_that_sleeps() -> None:
    assert observe(_seen(), now=NOW) == Standing(
        generation=1,
        phase=Phase.ASLEEP,
        accepted=Said(True, Reason.ACCEPTED, "The spec can be served."),
        ready=Said(False, Reason.ASLEEP, sentence(Reason.ASLEEP, name="payments")),
        update_pending=UP_TO_DATE,
        replicas=0,
        selector=f"app.kubernetes.io/name=session-runner,repobridge.dev/uid={UID}",
        channel_id="",
        endpoint=None,
        sessions=0,
        last_activity=None,
    )


def test_a_bridge_that_serves() -> None:
    assert observe(_seen(FULL, pod=running(), activity=SERVING), now=NOW) == Standing(
        generation=1,
        phase=Phase.READY,
        accepted=Said(True, Reason.ACCEPTED, "The spec can be served."),
        ready=Said(True, Reason.SERVING, "The runner serves."),
        update_pending=UP_TO_DATE,
        replicas=1,
        selector=f"app.kubernetes.io/name=session-runner,repobridge.dev/uid={UID}",
        channel_id="1123581321345589144",
        endpoint=ENDPOINT,
        sessions=2,
        last_activity=ACTIVE,
    )


# ----------------------------------------------------------------------------- phase and Ready


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (_seen({"suspend": True}), (Phase.SUSPENDED, False, Reason.SUSPENDED)),
        (
            _seen({"suspend": True, "replicas": 1}, pod=running()),
            (Phase.DRAINING, False, Reason.DRAINING),
        ),
        (_seen(pod=running()), (Phase.DRAINING, False, Reason.DRAINING)),
        (
            _seen(pod=running(deleted="2026-11-21T13:00:35Z")),
            (Phase.DRAINING, False, Reason.STOPPING),
        ),
        (_seen(pod=ended()), (Phase.ASLEEP, False, Reason.ASLEEP)),
        (_seen({"scaling": {"minReplicas": 1}}), (Phase.WAKING, False, Reason.SCHEDULING)),
        (_seen(AWAKE), (Phase.WAKING, False, Reason.SCHEDULING)),
        (_seen(AWAKE, pod=pod(node="")), (Phase.WAKING, False, Reason.SCHEDULING)),
        (_seen(AWAKE, pod=pod()), (Phase.WAKING, False, Reason.STARTING)),
        (
            _seen(AWAKE, pod=waiting("ContainerCreating"), events=[event("Pulling")]),
            (Phase.WAKING, False, Reason.PULLING_IMAGE),
        ),
        (
            _seen(AWAKE, pod=running(deleted="2026-11-21T13:00:35Z")),
            (Phase.WAKING, False, Reason.STOPPING),
        ),
        (_seen(AWAKE, pod=running(ready=False)), (Phase.WAKING, False, Reason.STARTING)),
        (_seen(AWAKE, pod=running()), (Phase.READY, True, Reason.SERVING)),
        (
            _seen(AWAKE, pod=running(ready=False), activity=SERVING),
            (Phase.READY, True, Reason.SERVING),
        ),
        (
            _seen(AWAKE, pod=running(), activity=PREPARING),
            (Phase.WAKING, False, Reason.CLONING),
        ),
        (
            _seen(AWAKE, pod=running(), activity=Activity(state=RunnerState.DRAINING)),
            (Phase.DRAINING, False, Reason.DRAINING),
        ),
        (
            _seen(AWAKE, pod=running(), silent="connection refused"),
            (Phase.FAILED, False, Reason.RUNNER_SILENT),
        ),
        (
            _seen(AWAKE, pod=_starting(), silent="connection refused"),
            (Phase.WAKING, False, Reason.STARTING),
        ),
        (
            _seen(AWAKE, pod=_starting(), activity=SERVING, silent="connection refused"),
            (Phase.FAILED, False, Reason.RUNNER_SILENT),
        ),
        (_seen(AWAKE, pod=ended()), (Phase.WAKING, False, Reason.POD_FAILED)),
        (_seen(AWAKE, pod=ended(deaths=3)), (Phase.FAILED, False, Reason.CRASHING)),
        (
            _seen(AWAKE, pod=ended(deaths=3), template_changed=True),
            (Phase.WAKING, False, Reason.POD_FAILED),
        ),
        (_seen(AWAKE, pod=_silent_node()), (Phase.FAILED, False, Reason.NODE_LOST)),
        (_seen(pod=_silent_node()), (Phase.FAILED, False, Reason.NODE_LOST)),
        (_seen(AWAKE, verdict=_TAKEN), (Phase.FAILED, False, Reason.NOT_ACCEPTED)),
        (_seen(AWAKE, taken="Pod rb-payments-0"), (Phase.FAILED, False, Reason.NAME_TAKEN)),
        (
            _seen(AWAKE, pod=unscheduled("0/1 nodes are available: 1 Insufficient memory.")),
            (Phase.FAILED, False, Reason.UNSCHEDULABLE),
        ),
        (
            _seen(AWAKE, pod=waiting("CreateContainerConfigError", 'secret "a" not found')),
            (Phase.FAILED, False, Reason.SECRET_MISSING),
        ),
    ],
)
def test_each_stage_has_its_phase_and_reason(
    seen: Seen, expected: tuple[Phase, bool, Reason]
) -> None:
    assert _told(seen) == expected


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ("CloneFailed", Reason.CLONE_FAILED),
        ("CredentialsMissing", Reason.CREDENTIALS_MISSING),
        ("RepositoryRefused", Reason.REPOSITORY_REFUSED),
        ("WorkspaceForeign", Reason.WORKSPACE_FOREIGN),
        ("WorkspaceFull", Reason.WORKSPACE_FULL),
        ("DISK_FULL", Reason.WORKSPACE_FULL),
        ("WorkspaceLocked", Reason.WORKSPACE_LOCKED),
        ("WorktreeFailed", Reason.WORKSPACE_FAILED),
        ("AGENT_VERSION", Reason.WORKSPACE_FAILED),
        ("Serving", Reason.WORKSPACE_FAILED),
    ],
)
def test_what_the_runner_says_is_wrong_has_its_reason(told: str, reason: Reason) -> None:
    found = _told(_seen(AWAKE, pod=running(), activity=_problem(told)))
    assert found == (Phase.FAILED, False, reason)


def test_a_refusal_counts_while_there_is_no_pod() -> None:
    refusal = ApiRefusal(
        kind="Pod", name="rb-payments-0", message='pods "x" is forbidden: exceeded quota: team'
    )
    assert _told(_seen(AWAKE, refusal=refusal)) == (Phase.FAILED, False, Reason.QUOTA_EXCEEDED)
    serving = _seen(AWAKE, refusal=refusal, pod=running(), activity=SERVING)
    assert _told(serving) == (Phase.READY, True, Reason.SERVING)
    assert _told(_seen(refusal=refusal)) == (Phase.ASLEEP, False, Reason.ASLEEP)


def test_a_claim_that_an_earlier_namesake_left_is_told() -> None:
    claim = {"metadata": {"name": "rb-payments-workspace-0", "labels": {}}}
    standing = observe(_seen(AWAKE, claim=claim), now=NOW)
    assert (standing.phase, standing.ready) == (
        Phase.FAILED,
        Said(
            False,
            Reason.NAME_TAKEN,
            "PersistentVolumeClaim rb-payments-workspace-0 is there already and is not this"
            " bridge's. Remove it, or give the RepoBridge another name.",
        ),
    )
    existing = {"workspace": {"existingClaim": "rb-payments-workspace-0"}, **AWAKE}
    assert _told(_seen(existing, claim=claim)) == (Phase.WAKING, False, Reason.SCHEDULING)


def test_a_lost_node_is_told_with_when_a_forced_delete_is_safe() -> None:
    message = observe(_seen(AWAKE, pod=_silent_node()), now=NOW).ready.message
    assert message == (
        "Node worker-1 does not answer since 2026-11-21T12:30:00Z. If it is powered off for"
        " certain, `kubectl delete pod rb-payments-0 --force --grace-period=0` lets the bridge"
        " start elsewhere; while it may still run, that could damage the workspace."
    )


def test_how_long_a_drain_may_take_is_told() -> None:
    seen = _seen({"scaling": {"drainTimeout": "90s"}}, pod=running())
    assert "in 90 s at most" in observe(seen, now=NOW).ready.message


def test_a_bridge_that_is_not_accepted_holds_no_channel() -> None:
    standing = observe(_seen(FULL, verdict=_TAKEN), now=NOW)
    assert (standing.channel_id, standing.accepted) == (
        "",
        Said(False, Reason.CHANNEL_TAKEN, "Taken."),
    )


# ---------------------------------------------------------------- what was said stands for a while


def _before(reason: Reason, message: str, *, pod_uid: str = POD_UID) -> dict[str, Any]:
    return {
        "phase": "Failed",
        "sessions": 3,
        "endpoint": {
            "podName": "rb-payments-0", "podUID": pod_uid, "address": "10.88.0.7", "port": 7443,
        },
        "conditions": [
            {"type": "Ready", "status": "False", "reason": reason, "message": message},
        ],
    }  # fmt: skip


def test_an_operator_that_asked_nobody_yet_takes_nothing_back() -> None:
    status = _before(Reason.CLONE_FAILED, "No such repository.")
    standing = observe(_seen(AWAKE, status=status, pod=running()), now=NOW)
    assert (standing.phase, standing.ready, standing.sessions) == (
        Phase.FAILED,
        Said(False, Reason.CLONE_FAILED, "No such repository."),
        3,
    )


def test_what_another_pods_runner_said_is_over() -> None:
    status = _before(Reason.CLONE_FAILED, "No such repository.", pod_uid="another")
    standing = observe(_seen(AWAKE, status=status, pod=running()), now=NOW)
    assert (standing.ready.reason, standing.sessions) == (Reason.SERVING, 0)


def test_what_the_runner_says_now_counts() -> None:
    status = _before(Reason.CLONE_FAILED, "No such repository.")
    seen = _seen(AWAKE, status=status, pod=running(), activity=SERVING)
    assert _told(seen) == (Phase.READY, True, Reason.SERVING)


def test_a_failure_that_goes_on_with_other_numbers_is_told_as_before() -> None:
    first = unscheduled("0/3 nodes are available: 3 Insufficient memory.")
    then = unscheduled("0/5 nodes are available: 5 Insufficient memory.")
    other = unscheduled("0/5 nodes are available: 5 Insufficient cpu.")
    message = observe(_seen(AWAKE, pod=first), now=NOW).ready.message
    status = _before(Reason.UNSCHEDULABLE, message)
    assert observe(_seen(AWAKE, status=status, pod=then), now=NOW).ready.message == message
    assert "cpu" in observe(_seen(AWAKE, status=status, pod=other), now=NOW).ready.message


# ----------------------------------------------------------------------------- everything else


@pytest.mark.parametrize(
    ("seen", "reason", "holds"),
    [
        (_seen(AWAKE, pod=running(), template_changed=True), Reason.TEMPLATE_CHANGED, True),
        (_seen(AWAKE, pod=ended(), template_changed=True), Reason.UP_TO_DATE, False),
        (_seen(AWAKE, pod=running()), Reason.UP_TO_DATE, False),
        (
            _seen(
                not_grown=ApiRefusal(
                    kind="PersistentVolumeClaim",
                    name="rb-payments-workspace-0",
                    message="only dynamically provisioned pvc can be resized",
                )
            ),
            Reason.VOLUME_RESIZE_FAILED,
            True,
        ),
    ],
)
def test_what_waits_for_an_idle_bridge_is_told(seen: Seen, reason: Reason, holds: bool) -> None:
    found = observe(seen, now=NOW).update_pending
    assert (found.reason, found.holds) == (reason, holds)


def test_a_volume_that_does_not_grow_is_told() -> None:
    claim: dict[str, Any] = {
        "metadata": {
            "name": "rb-payments-workspace-0",
            "labels": naming.labels("payments", UID),
        },
        "status": {
            "phase": "Bound",
            "capacity": {"storage": "10Gi"},
            "conditions": [
                {"type": "ControllerResizeError", "status": "True", "message": "request 17 failed"}
            ],
        },
    }
    spec = {"workspace": {"size": "20Gi"}}
    found = observe(_seen(spec, claim=claim), now=NOW).update_pending
    assert (found.holds, found.reason) == (True, Reason.VOLUME_RESIZE_FAILED)
    assert "can't grow to 20Gi: request 17 failed." in found.message
    # Its storage tries again and again: that is no news.
    claim["status"]["conditions"][0]["message"] = "request 18 failed"
    status = {
        "conditions": [
            {
                "type": "UpdatePending",
                "status": "True",
                "reason": "VolumeResizeFailed",
                "message": found.message,
                "lastTransitionTime": "2026-11-21T12:00:00Z",
            }
        ]
    }
    assert observe(_seen(spec, status=status, claim=claim), now=NOW).update_pending == found


def test_memory_that_the_node_does_not_give_is_told() -> None:
    one = running()
    one["status"]["conditions"].append(
        condition(
            "PodResizePending", "True", reason="Infeasible",
            message="Node didn't have enough capacity: memory",
        )
    )  # fmt: skip
    found = observe(_seen(AWAKE, pod=one), now=NOW).update_pending
    assert (found.holds, found.reason) == (True, Reason.RESIZE_REFUSED)
    assert "Node didn't have enough capacity: memory." in found.message


def test_memory_that_the_api_server_does_not_let_change_is_told() -> None:
    refused = "the server could not find the requested resource"
    found = observe(_seen(AWAKE, pod=running(), not_resized=refused), now=NOW).update_pending
    assert (found.holds, found.reason) == (True, Reason.RESIZE_REFUSED)
    assert f"while it runs: {refused}." in found.message


def test_the_address_is_told_as_soon_as_it_is_known_and_no_longer_than_the_pod_lives() -> None:
    known = waiting("ContainerCreating")
    known["status"]["podIP"] = "10.88.0.7"
    assert observe(_seen(AWAKE, pod=known), now=NOW).endpoint == ENDPOINT
    assert observe(_seen(AWAKE, pod=waiting("ContainerCreating")), now=NOW).endpoint is None
    assert observe(_seen(AWAKE, pod=ended()), now=NOW).endpoint is None
    going = running(deleted="2026-11-21T13:00:35Z")
    assert observe(_seen(AWAKE, pod=going), now=NOW).endpoint is None


def test_a_pod_that_is_going_is_looked_at_again_when_it_should_be_gone() -> None:
    going = running(deleted="2026-11-21T13:00:35Z")
    standing = observe(_seen(AWAKE, pod=going), now=NOW)
    assert standing.look_again_at == time_of("2026-11-21T13:01:35Z")
    assert observe(_seen(AWAKE, pod=running()), now=NOW).look_again_at is None


def test_the_last_activity_never_goes_back() -> None:
    status = {"lastActivityTime": "2026-11-21T12:59:00Z"}
    standing = observe(_seen(AWAKE, status=status, pod=running(), activity=SERVING), now=NOW)
    assert standing.last_activity == time_of("2026-11-21T12:59:00Z")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, 0),
        ({"replicas": 1}, 1),
        ({"scaling": {"minReplicas": 1}}, 1),
        ({"replicas": 1, "suspend": True, "scaling": {"minReplicas": 1}}, 0),
    ],
)
def test_the_wish_that_counts(spec: dict[str, Any], expected: int) -> None:
    assert wanted_replicas(bridge(spec)) == expected
