"""What a pod's own status says: whether it lives, since when, where, and whether its node is there.

Pods come as the API server's JSON; nothing that may be missing in it is expected to be there.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from repobridge_operator.resources.pod import CONTAINER

Pod = Mapping[str, Any]
OVERDUE_SECONDS = 60.0
"""So long after the end of its grace a pod that is still there has lost its kubelet."""


def pod_is_finished(pod: Pod) -> bool:
    """Whether nothing of ours runs in the pod any more, and never will again.

    A container that somebody's admission put beside ours does not keep the pod alive for us.
    """
    return _phase(pod) in {"Succeeded", "Failed"} or terminated(pod) is not None


def pod_is_failed(pod: Pod) -> bool:
    """Whether the pod ended other than by ending well."""
    ended = terminated(pod)
    if ended is not None and ended.get("exitCode") == 0:
        return _phase(pod) == "Failed"
    return pod_is_finished(pod) and _phase(pod) != "Succeeded"


def pod_has_started(pod: Pod) -> bool:
    """Whether the runner ever ran in the pod: until then there is nothing to drain."""
    state = runner_status(pod).get("state") or {}
    return "running" in state or "terminated" in state


def pod_is_running(pod: Pod) -> bool:
    """Whether the runner has a process, as the kubelet said last."""
    return "running" in (runner_status(pod).get("state") or {}) and not pod_is_finished(pod)


def pod_is_starting_up(pod: Pod) -> bool:
    """Whether the kubelet still waits for the runner to answer its startup probe."""
    return pod_is_running(pod) and runner_status(pod).get("started") is False


def pod_is_going(pod: Pod) -> bool:
    """Whether the pod is being deleted."""
    return bool(pod["metadata"].get("deletionTimestamp"))


def pod_is_ready(pod: Pod) -> bool:
    """Whether the kubelet says that the runner serves."""
    return condition(pod, "Ready").get("status") == "True" and not pod_is_finished(pod)


def pod_address(pod: Pod) -> str:
    """The pod's address; empty while nobody knows it, and when nobody is there any more."""
    return "" if pod_is_finished(pod) else str(_status(pod).get("podIP") or "")


def runner_status(pod: Pod) -> Mapping[str, Any]:
    """The status of the runner's container; empty before the kubelet has one."""
    for each in _status(pod).get("containerStatuses") or ():
        if each.get("name") == CONTAINER:
            return dict(each)
    return {}


def waiting(pod: Pod) -> Mapping[str, Any]:
    """Why the runner's container does not run yet; empty where it does, or did."""
    return (runner_status(pod).get("state") or {}).get("waiting") or {}


def terminated(pod: Pod) -> Mapping[str, Any] | None:
    """How the runner's container ended."""
    found = (runner_status(pod).get("state") or {}).get("terminated")
    return None if found is None else dict(found)


def condition(pod: Pod, kind: str) -> Mapping[str, Any]:
    """A condition of the pod; empty where it has none of that type."""
    for each in _status(pod).get("conditions") or ():
        if each.get("type") == kind:
            return dict(each)
    return {}


def died_at(pod: Pod) -> datetime:
    """When a finished pod ended, as nearly as it says."""
    ended = terminated(pod) or {}
    if ended.get("finishedAt"):
        return time_of(ended["finishedAt"])
    changes = [
        time_of(each["lastTransitionTime"])
        for each in _status(pod).get("conditions") or ()
        if each.get("lastTransitionTime")
    ]
    return max([time_of(pod["metadata"]["creationTimestamp"]), *changes])


def lived_seconds(pod: Pod) -> float:
    """How long the runner ran in a finished pod."""
    ended = terminated(pod) or {}
    if not ended.get("startedAt"):
        return 0.0
    return max(0.0, (died_at(pod) - time_of(ended["startedAt"])).total_seconds())


def node_lost_since(pod: Pod, *, now: datetime) -> datetime | None:
    """Since when the pod's node has been silent; None while it is there, as far as the pod shows.

    The node controller makes `Ready` false for each pod of a silent node, and touches nothing
    else: only then do the containers stay ready. Minutes later the pod is deleted, and stays, as
    nobody is there to confirm it.
    """
    if pod_is_finished(pod) or not pod["spec"].get("nodeName"):
        return None
    found = []
    ready = condition(pod, "Ready")
    containers_ready = condition(pod, "ContainersReady").get("status") == "True"
    gates = pod["spec"].get("readinessGates")
    if ready.get("status") in {"False", "Unknown"} and containers_ready and not gates:
        found.append(time_of(ready["lastTransitionTime"]))
    overdue = overdue_at(pod)
    if overdue is not None and now >= overdue:
        found.append(time_of(pod["metadata"]["deletionTimestamp"]))
    return min(found, default=None)


def overdue_at(pod: Pod) -> datetime | None:
    """When a pod that is being deleted should long be gone: its time of deletion has the grace."""
    if not pod_is_going(pod):
        return None
    gone = time_of(pod["metadata"]["deletionTimestamp"])
    return gone + timedelta(seconds=OVERDUE_SECONDS)


def time_of(text: str) -> datetime:
    """A time as Kubernetes writes it."""
    return datetime.fromisoformat(text)


def _status(pod: Pod) -> Mapping[str, Any]:
    return pod.get("status") or {}


def _phase(pod: Pod) -> str:
    return str(_status(pod).get("phase", ""))
