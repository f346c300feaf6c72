"""A bridge's pod as the API server, the scheduler and the kubelet leave it in its stages."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from repobridge_operator.resources.pod import make_pod
from tests.unit.operator.bridges import SETTINGS, bridge

POD_UID = "0d7c1f7e-3f0b-4d38-9c1a-7a4f5e2b9c11"
CREATED = "2026-11-21T12:00:00Z"
NODE = "worker-1"


def pod(
    status: Mapping[str, Any] | None = None,
    *,
    node: str = NODE,
    deleted: str = "",
    deaths: int = 0,
    spec: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The pod of the bridge `payments`, with a status."""
    made = deepcopy(make_pod(bridge(spec), settings=SETTINGS, deaths=deaths))
    made["metadata"] |= {"uid": POD_UID, "creationTimestamp": CREATED, "resourceVersion": "7"}
    if deleted:
        made["metadata"]["deletionTimestamp"] = deleted
    if node:
        made["spec"]["nodeName"] = node
    made["status"] = dict(status or {"phase": "Pending"})
    return made


def condition(kind: str, status: str, at: str = CREATED, **more: str) -> dict[str, str]:
    """A condition of a pod."""
    return {"type": kind, "status": status, "lastTransitionTime": at, **more}


def container(state: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """The status of the runner's container."""
    return {"name": "runner", "state": dict(state), "restartCount": 0, **more}


def unscheduled(message: str) -> dict[str, Any]:
    """A pod that the scheduler can't place."""
    status = {
        "phase": "Pending",
        "conditions": [
            condition("PodScheduled", "False", reason="Unschedulable", message=message),
        ],
    }
    return pod(status, node="")


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    """A pod on a node, whose container waits."""
    state: dict[str, Any] = {"waiting": {"reason": reason}}
    if message:
        state["waiting"]["message"] = message
    return pod(
        {
            "phase": "Pending",
            "conditions": [
                condition("PodScheduled", "True"),
                condition("ContainersReady", "False", reason="ContainersNotReady"),
                condition("Ready", "False", reason="ContainersNotReady"),
            ],
            "containerStatuses": [container(state)],
        }
    )


def running(*, ready: bool = True, **more: Any) -> dict[str, Any]:
    """A pod whose runner has a process."""
    word = "True" if ready else "False"
    return pod(
        {
            "phase": "Running",
            "podIP": "10.88.0.7",
            "conditions": [
                condition("PodScheduled", "True"),
                condition("ContainersReady", word),
                condition("Ready", word),
            ],
            "containerStatuses": [
                container({"running": {"startedAt": "2026-11-21T12:00:02Z"}}, ready=ready)
            ],
        },
        **more,
    )


def ended(
    *,
    code: int = 1,
    reason: str = "Error",
    message: str = "",
    started: str = "2026-11-21T12:00:02Z",
    finished: str = "2026-11-21T12:00:05Z",
    phase: str = "Failed",
    **more: Any,
) -> dict[str, Any]:
    """A pod whose runner ended."""
    state = {
        "exitCode": code,
        "reason": reason,
        "message": message,
        "startedAt": started,
        "finishedAt": finished,
    }
    status = {
        "phase": phase,
        "podIP": "10.88.0.7",
        "conditions": [condition("Ready", "False", finished, reason="PodFailed")],
        "containerStatuses": [container({"terminated": state})],
    }
    return pod(status, **more)


def failed_by(reason: str, message: str, **more: Any) -> dict[str, Any]:
    """A pod that the kubelet refused or ended before its container had a status."""
    return pod({"phase": "Failed", "reason": reason, "message": message, **more})


def event(
    reason: str, note: str = "", *, at: str = CREATED, kind: str = "Warning", uid: str = POD_UID
) -> dict[str, Any]:
    """An event of events.k8s.io/v1 about the pod."""
    return {
        "reason": reason,
        "note": note,
        "type": kind,
        "regarding": {"kind": "Pod", "uid": uid},
        "deprecatedLastTimestamp": at,
    }
