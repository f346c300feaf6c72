"""What becomes of a pod on a node: the status and events that scheduler and kubelet would write.

Pure: a pod in, a status out. The words are those of Kubernetes 1.35 with containerd.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Object = dict[str, Any]

_SCHEDULER = "default-scheduler"
_KUBELET = "kubelet"
_RESOURCES = ("resources", "allocatedResources")


@dataclass(frozen=True)
class Note:
    """An event to be told about the pod."""

    reason: str
    message: str
    source: str = _KUBELET
    type: str = "Warning"


@dataclass(frozen=True)
class Node:
    """Where and when the pod is: what every status has to say."""

    name: str
    address: str
    now: datetime

    @property
    def time(self) -> str:
        """The time as the API writes it."""
        return self.now.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Running:
    """All containers run; whether they are ready is up to the test."""

    ready: bool = True
    resizes: bool = True
    """False: the node has no room for the resources that a running pod was changed to."""

    def status(self, pod: Object, node: Node) -> Object:
        """The status of the pod."""
        # A runner that was never ready has not passed its startup probe, where it has one.
        started = self.ready or not any("startupProbe" in c for c in pod["spec"]["containers"])
        running = {"state": {"running": {"startedAt": node.time}}, "started": started}
        status = _on_node(
            pod,
            node,
            phase="Running",
            ready=None if self.ready else ("ContainersNotReady", _not_ready(pod)),
            containers={**running, "ready": self.ready},
        )
        return status if self.resizes else _unresized(pod, node, status)

    def notes(self, pod: Object) -> tuple[Note, ...]:
        """The events of the pod."""
        names = _names(pod)
        return tuple(
            Note(reason, f"{reason} container {name}", type="Normal")
            for name in names
            for reason in ("Created", "Started")
        )


@dataclass(frozen=True)
class Waiting:
    """The pod has a node, and its containers do not start, for a reason that kubelets have."""

    reason: str = "ContainerCreating"
    message: str = ""
    event: Note | None = None
    has_address: bool = False

    def status(self, pod: Object, node: Node) -> Object:
        """The status of the pod."""
        waiting = {"reason": self.reason, **({"message": self.message} if self.message else {})}
        return _on_node(
            pod,
            node,
            phase="Pending",
            ready=("ContainersNotReady", _not_ready(pod)),
            containers={"state": {"waiting": waiting}, "started": False, "ready": False},
            has_address=self.has_address,
        )

    def notes(self, pod: Object) -> tuple[Note, ...]:
        """The events of the pod."""
        return () if self.event is None else (self.event,)


@dataclass(frozen=True)
class Unschedulable:
    """No node takes the pod."""

    message: str = "0/1 nodes are available: 1 Insufficient memory."

    def status(self, pod: Object, node: Node) -> Object:
        """The status of the pod."""
        told = _condition(
            "PodScheduled", node, status="False", reason="Unschedulable", message=self.message
        )
        return {"phase": "Pending", "conditions": _merged(pod, [told])}

    def notes(self, pod: Object) -> tuple[Note, ...]:
        """The events of the pod."""
        return (Note("FailedScheduling", self.message, source=_SCHEDULER),)


@dataclass(frozen=True)
class Ended:
    """Every container has ended; with `restartPolicy: Never` so has the pod."""

    exit_code: int = 0
    reason: str | None = None
    """None: what a kubelet says for the exit code; `OOMKilled` comes from the kernel."""
    message: str = ""

    def status(self, pod: Object, node: Node) -> Object:
        """The status of the pod."""
        if pod["spec"].get("restartPolicy", "Always") != "Never":
            raise ValueError("A pod that is restarted does not end; say how it waits instead.")
        terminated: Object = {
            "exitCode": self.exit_code,
            "reason": self.reason or ("Error" if self.exit_code else "Completed"),
            "startedAt": _started_at(pod) or node.time,
            "finishedAt": node.time,
        }
        if self.message:
            terminated["message"] = self.message
        phase, why = ("Failed", "PodFailed") if self.exit_code else ("Succeeded", "PodCompleted")
        return _on_node(
            pod,
            node,
            phase=phase,
            ready=(why, ""),
            containers={"state": {"terminated": terminated}, "started": False, "ready": False},
        )

    def notes(self, pod: Object) -> tuple[Note, ...]:
        """The events of the pod."""
        return ()


@dataclass(frozen=True)
class Evicted:
    """The node needed what the pod used."""

    message: str = "The node was low on resource: memory."

    def status(self, pod: Object, node: Node) -> Object:
        """The status of the pod: a kubelet keeps nothing of what it was but its reason."""
        disrupted = _condition(
            "DisruptionTarget",
            node,
            reason="TerminationByKubelet",
            message=self.message,
        )
        ended = Ended(exit_code=137).status(pod, node)
        conditions = _merged({"status": ended}, [disrupted])
        return {**ended, "reason": "Evicted", "message": self.message, "conditions": conditions}

    def notes(self, pod: Object) -> tuple[Note, ...]:
        """The events of the pod."""
        return (Note("Evicted", self.message),)


Fate = Running | Waiting | Unschedulable | Ended | Evicted


def image_missing(image: str) -> Waiting:
    """A registry that does not have the image."""
    failed = f'failed to pull and unpack image "{image}": {image}: not found'
    words = f'Back-off pulling image "{image}": ErrImagePull: rpc error: code = NotFound'
    return Waiting(
        "ImagePullBackOff",
        f"{words} desc = {failed}",
        Note("Failed", f'Failed to pull image "{image}": {failed}'),
        has_address=True,
    )


def secret_missing(name: str) -> Waiting:
    """A variable from a Secret that is not there."""
    words = f'secret "{name}" not found'
    return Waiting(
        "CreateContainerConfigError", words, Note("Failed", f"Error: {words}"), has_address=True
    )


def mount_failed(volume: str, why: str) -> Waiting:
    """A volume that can't be mounted: the status says nothing, only the event does."""
    return Waiting(
        event=Note("FailedMount", f'MountVolume.SetUp failed for volume "{volume}": {why}')
    )


def _on_node(
    pod: Object,
    node: Node,
    *,
    phase: str,
    ready: tuple[str, str] | None,
    containers: Object,
    has_address: bool = True,
) -> Object:
    """`ready` is the reason and message of not being ready, or None."""
    conditions = [
        _condition("PodReadyToStartContainers", node, status=str(has_address)),
        _condition("Initialized", node),
    ]
    for name in ("ContainersReady", "Ready"):
        if ready is None:
            conditions.append(_condition(name, node))
        else:
            reason, message = ready
            conditions.append(
                _condition(name, node, status="False", reason=reason, message=message)
            )
    before = {one["name"]: one for one in pod.get("status", {}).get("containerStatuses", [])}
    status: Object = {
        "phase": phase,
        "observedGeneration": pod["metadata"].get("generation", 1),
        "hostIP": node.address,
        "hostIPs": [{"ip": node.address}],
        "startTime": pod.get("status", {}).get("startTime", node.time),
        "conditions": _merged(pod, conditions),
        "containerStatuses": [
            _container(pod, one, containers, before.get(one["name"]))
            for one in pod["spec"]["containers"]
        ],
    }
    if has_address:
        status |= {"podIP": node.address, "podIPs": [{"ip": node.address}]}
    return status


def _container(pod: Object, spec: Object, state: Object, before: Object | None) -> Object:
    told: Object = {
        "name": spec["name"],
        "image": spec["image"],
        "imageID": "",
        "restartCount": 0,
        "lastState": {},
        **state,
    }
    if "waiting" in state["state"]:
        return told
    digest = hashlib.sha256(f"{pod['metadata']['uid']}/{spec['name']}".encode()).hexdigest()
    told["containerID"] = f"containerd://{digest}"
    told["imageID"] = f"sha256:{hashlib.sha256(spec['image'].encode()).hexdigest()}"
    if before is not None and "running" in before["state"] and "running" in state["state"]:
        told["state"] = before["state"]
    if "running" in state["state"]:
        resources = spec.get("resources", {})
        told["resources"] = resources
        told["allocatedResources"] = resources.get("requests", {})
    return told


def _unresized(pod: Object, node: Node, status: Object) -> Object:
    """The status with the resources that were there before, and why they stay."""
    before = {one["name"]: one for one in pod["status"].get("containerStatuses", [])}
    kept = [
        {**one, **{key: before.get(one["name"], one).get(key, {}) for key in _RESOURCES}}
        for one in status["containerStatuses"]
    ]
    if kept == status["containerStatuses"]:
        return status
    words = "Node didn't have enough resource: memory"
    pending = _condition("PodResizePending", node, reason="Deferred", message=words)
    conditions = _merged({"status": status}, [pending])
    return {**status, "containerStatuses": kept, "conditions": conditions}


def _condition(
    name: str, node: Node, *, status: str = "True", reason: str = "", message: str = ""
) -> Object:
    condition = {"type": name, "status": status, "lastTransitionTime": node.time}
    if reason:
        condition["reason"] = reason
    if message:
        condition["message"] = message
    return condition


def _merged(pod: Object, told: list[Object]) -> list[Object]:
    """The pod's conditions with these in them; a time moves only with its status."""
    before = {one["type"]: one for one in pod.get("status", {}).get("conditions", [])}
    merged = dict(before)
    for condition in told:
        known = before.get(condition["type"], {})
        stays = known.get("status") == condition["status"]
        since = known["lastTransitionTime"] if stays else condition["lastTransitionTime"]
        merged[condition["type"]] = {**condition, "lastTransitionTime": since}
    return list(merged.values())


def _names(pod: Object) -> list[str]:
    return [one["name"] for one in pod["spec"]["containers"]]


def _not_ready(pod: Object) -> str:
    return f"containers with unready status: [{' '.join(_names(pod))}]"


def _started_at(pod: Object) -> str | None:
    for one in pod.get("status", {}).get("containerStatuses", []):
        if "running" in one["state"]:
            started: str = one["state"]["running"]["startedAt"]
            return started
    return None
