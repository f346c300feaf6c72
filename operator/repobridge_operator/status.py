"""What is said of a bridge: its phase and conditions, from everything that was seen of it.

Pure. The same facts give the same status. What only the runner knows (that it clones, why it can't)
stands until it says otherwise, so that an operator that has just started and asked nobody yet takes
nothing back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import ceil
from typing import Any

from repobridge.claims import Verdict
from repobridge.conditions import Phase, Reason, sentence
from repobridge.crd import Condition, Endpoint, RepoBridge
from repobridge.idle import Activity
from repobridge.session.events import RunnerState
from repobridge_operator.deathcauses import cause_of_death
from repobridge_operator.deaths import replacement_of
from repobridge_operator.growth import cause_of_growth
from repobridge_operator.podstate import (
    condition,
    node_lost_since,
    overdue_at,
    pod_address,
    pod_is_finished,
    pod_is_going,
    pod_is_ready,
    pod_is_running,
    pod_is_starting_up,
)
from repobridge_operator.refusals import ApiRefusal, Cause, cause_of_refusal
from repobridge_operator.resources import naming
from repobridge_operator.resources.runnersettings import GRPC_PORT
from repobridge_operator.resources.storage import claim_is_foreign
from repobridge_operator.startcauses import Event, cause_of_waiting, is_pulling, pulling

_TOLD_BY_RUNNERS = frozenset(
    {
        Reason.CLONING,
        Reason.CLONE_FAILED,
        Reason.CREDENTIALS_MISSING,
        Reason.REPOSITORY_REFUSED,
        Reason.WORKSPACE_FAILED,
        Reason.WORKSPACE_FOREIGN,
        Reason.WORKSPACE_FULL,
        Reason.WORKSPACE_LOCKED,
        Reason.RUNNER_SILENT,
    }
)
_NUMBERS = re.compile(r"[0-9]+")
_DISK_FULL = "DISK_FULL"
"""Said by a runner that was ready before, and is again once there is room."""
_PROBLEMS = _TOLD_BY_RUNNERS - {Reason.CLONING, Reason.RUNNER_SILENT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Everything that was seen of a bridge."""

    bridge: RepoBridge
    verdict: Verdict
    """Whether it is served at all; also for an object that is no RepoBridge that can be run."""
    pod: Mapping[str, Any] | None = None
    template_changed: bool = False
    """The pod is not as the spec has it."""
    events: Sequence[Event] = ()
    """The pod's events, where it doesn't run yet, or ended without a word."""
    claim: Mapping[str, Any] | None = None
    refusal: ApiRefusal | None = None
    """What the API server refused last, if it has not taken it since."""
    not_grown: ApiRefusal | None = None
    """Why the API server does not let the claim grow."""
    taken: str = ""
    """An object of a name that is ours by right, and is not this bridge's."""
    activity: Activity | None = None
    """What this pod's runner said last; None before it was asked."""
    silent: str = ""
    """Why the runner can't be asked, once that has lasted."""
    not_resized: str = ""
    """Why the API server did not let the pod's memory follow its sessions."""


@dataclass(frozen=True, slots=True)
class Said:
    """What one condition says."""

    holds: bool
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a bridge stands, as its status is to say it."""

    generation: int
    phase: Phase
    accepted: Said
    ready: Said
    update_pending: Said
    replicas: int
    selector: str
    channel_id: str
    endpoint: Endpoint | None
    sessions: int
    last_activity: datetime | None
    look_again_at: datetime | None = None
    """When this changes by the clock alone."""


def observe(seen: Seen, *, now: datetime) -> Standing:
    """Where a bridge stands."""
    meta, pod, before = seen.bridge.metadata, seen.pod, seen.bridge.status
    phase, ready = _ready(seen, now)
    channel = seen.bridge.spec.discord.channel_id if seen.bridge.spec.discord else ""
    sessions, last_activity = _activity(seen)
    overdue = overdue_at(pod) if pod is not None else None
    return Standing(
        generation=meta.generation,
        phase=phase,
        accepted=Said(seen.verdict.accepted, seen.verdict.reason, seen.verdict.message),
        ready=_kept(ready, before.condition("Ready")),
        update_pending=_kept(_update_pending(seen), before.condition("UpdatePending")),
        replicas=0 if pod is None or pod_is_finished(pod) else 1,
        selector=naming.selector(meta.uid),
        channel_id=channel if seen.verdict.accepted else "",
        endpoint=_endpoint(pod) if pod is not None else None,
        sessions=sessions,
        last_activity=last_activity,
        look_again_at=overdue if overdue is not None and overdue > now else None,
    )


def wanted_replicas(bridge: RepoBridge) -> int:
    """The wish that counts: the larger of the two, and none when suspended."""
    spec = bridge.spec
    return 0 if spec.suspend else max(spec.replicas, spec.scaling.min_replicas)


# -------------------------------------------------------------------------------------- Ready


def _ready(seen: Seen, now: datetime) -> tuple[Phase, Said]:
    pod = seen.pod
    lost = node_lost_since(pod, now=now) if pod is not None else None
    if pod is not None and lost is not None:
        return _not_ready(Phase.FAILED, _node_lost(pod, lost))
    if not seen.verdict.accepted:
        return _not_ready(Phase.FAILED, _cause(Reason.NOT_ACCEPTED))
    return _awake(seen) if wanted_replicas(seen.bridge) else _asleep(seen)


def _asleep(seen: Seen) -> tuple[Phase, Said]:
    spec, pod = seen.bridge.spec, seen.pod
    if pod is not None and not pod_is_finished(pod):
        if pod_is_going(pod):
            return _not_ready(Phase.DRAINING, _cause(Reason.STOPPING))
        return _not_ready(Phase.DRAINING, _draining(seen))
    if spec.suspend:
        return _not_ready(Phase.SUSPENDED, _cause(Reason.SUSPENDED))
    return _not_ready(Phase.ASLEEP, _cause(Reason.ASLEEP, name=seen.bridge.metadata.name))


def _awake(seen: Seen) -> tuple[Phase, Said]:
    pod = seen.pod
    if taken := _taken(seen):
        return _not_ready(Phase.FAILED, _cause(Reason.NAME_TAKEN, what=taken))
    if pod is None:
        return _without_pod(seen)
    if pod_is_finished(pod):
        replacement = replacement_of(pod, template_changed=seen.template_changed)
        phase = Phase.FAILED if replacement.is_crashing else Phase.WAKING
        return _not_ready(phase, cause_of_death(pod, replacement, seen.events))
    if pod_is_going(pod):
        return _not_ready(Phase.WAKING, _cause(Reason.STOPPING))
    if not pod_is_running(pod):
        return _starting(seen, pod)
    return _running(seen, pod)


def _taken(seen: Seen) -> str:
    """What is another's, though its name is ours by right."""
    if seen.claim is not None and claim_is_foreign(seen.bridge, seen.claim):
        return f"PersistentVolumeClaim {seen.claim['metadata']['name']}"
    return seen.taken


def _without_pod(seen: Seen) -> tuple[Phase, Said]:
    if seen.refusal is not None:
        return _not_ready(Phase.FAILED, _refused(seen, seen.refusal))
    return _not_ready(Phase.WAKING, _cause(Reason.SCHEDULING))


def _starting(seen: Seen, pod: Mapping[str, Any]) -> tuple[Phase, Said]:
    tls = naming.tls_secret_name(seen.bridge.metadata.name)
    if cause := cause_of_waiting(pod, seen.events, tls=tls):
        return _not_ready(Phase.FAILED, cause)
    if not pod["spec"].get("nodeName"):
        return _not_ready(Phase.WAKING, _cause(Reason.SCHEDULING))
    if is_pulling(pod, seen.events):
        return _not_ready(Phase.WAKING, pulling(pod))
    return _not_ready(Phase.WAKING, _cause(Reason.STARTING))


def _running(seen: Seen, pod: Mapping[str, Any]) -> tuple[Phase, Said]:
    activity = seen.activity
    if activity is not None and activity.state is RunnerState.DRAINING:
        return _not_ready(Phase.DRAINING, _draining(seen))
    # On a busy node it takes a while to listen: the kubelet says when that is too long.
    if seen.silent and (activity is not None or not pod_is_starting_up(pod)):
        return _not_ready(
            Phase.FAILED, _cause(Reason.RUNNER_SILENT, detail=seen.silent, **_of(pod))
        )
    if activity is not None:
        return _told(activity, pod)
    if said := _said_before(seen, pod):
        return said
    return _SERVING if pod_is_ready(pod) else _not_ready(Phase.WAKING, _cause(Reason.STARTING))


def _told(activity: Activity, pod: Mapping[str, Any]) -> tuple[Phase, Said]:
    if activity.problem_reason:
        return _not_ready(Phase.FAILED, _problem(activity, pod))
    if activity.state is RunnerState.PREPARING:
        return _not_ready(Phase.WAKING, _cause(Reason.CLONING))
    return _SERVING


def _said_before(seen: Seen, pod: Mapping[str, Any]) -> tuple[Phase, Said] | None:
    """What this pod's runner made us say before, while it was not asked again."""
    before, ready = seen.bridge.status, seen.bridge.status.condition("Ready")
    if ready is None or before.phase is None or before.endpoint is None:
        return None
    if before.endpoint.pod_uid != pod["metadata"].get("uid"):
        return None
    reason = _reason(ready.reason)
    if reason not in _TOLD_BY_RUNNERS:
        return None
    return before.phase, Said(False, reason, ready.message)


def _problem(activity: Activity, pod: Mapping[str, Any]) -> Cause:
    is_full = activity.problem_reason == _DISK_FULL
    reason = Reason.WORKSPACE_FULL if is_full else _reason(activity.problem_reason)
    if reason not in _PROBLEMS:
        reason = Reason.WORKSPACE_FAILED
    facts = _of(pod) if reason is Reason.WORKSPACE_FULL else {"detail": activity.problem}
    return _cause(reason, **facts)


def _draining(seen: Seen) -> Cause:
    return _cause(Reason.DRAINING, seconds=ceil(seen.bridge.spec.scaling.drain_seconds))


def _node_lost(pod: Mapping[str, Any], since: datetime) -> Cause:
    node = pod["spec"]["nodeName"]
    return _cause(Reason.NODE_LOST, node=node, since=_time_text(since), **_of(pod))


def _refused(seen: Seen, refusal: ApiRefusal) -> Cause:
    return cause_of_refusal(
        refusal,
        namespace=seen.bridge.metadata.namespace,
        size=seen.bridge.spec.workspace.size_bytes,
    )


def _of(pod: Mapping[str, Any]) -> dict[str, str]:
    return {"pod": str(pod["metadata"]["name"])}


# ----------------------------------------------------------------------------- everything else


def _update_pending(seen: Seen) -> Said:
    pod = seen.pod
    if pod is not None and not pod_is_finished(pod):
        if seen.template_changed:
            return _said(True, _cause(Reason.TEMPLATE_CHANGED, **_of(pod)))
        resize = condition(pod, "PodResizePending")
        if resize.get("status") == "True":
            detail = str(resize.get("message") or resize.get("reason"))
            return _said(True, _cause(Reason.RESIZE_REFUSED, detail=detail))
        if seen.not_resized:
            return _said(True, _cause(Reason.RESIZE_REFUSED, detail=seen.not_resized))
    growth = cause_of_growth(seen.bridge, seen.claim, refusal=seen.not_grown)
    return _said(True, growth) if growth else _UP_TO_DATE


def _endpoint(pod: Mapping[str, Any]) -> Endpoint | None:
    address, meta = pod_address(pod), pod["metadata"]
    if not address or pod_is_going(pod):
        return None
    return Endpoint(pod_name=meta["name"], pod_uid=meta["uid"], address=address, port=GRPC_PORT)


def _activity(seen: Seen) -> tuple[int, datetime | None]:
    """The live sessions, and when somebody last wanted something: what is known of both."""
    before, found, pod = seen.bridge.status, seen.activity, seen.pod
    known = before.last_activity_time
    if found is not None and found.last_activity:
        at = datetime.fromtimestamp(int(found.last_activity), UTC)
        known = at if known is None else max(known, at)
    if pod is None or pod_is_finished(pod):
        return 0, known
    if found is not None:
        return found.live_sessions, known
    same = before.endpoint is not None and before.endpoint.pod_uid == pod["metadata"].get("uid")
    return before.sessions if same else 0, known


_WAVERING = frozenset(
    {
        Reason.API_REFUSED,
        Reason.CLONE_FAILED,
        Reason.IMAGE_PULL_FAILED,
        Reason.QUOTA_EXCEEDED,
        Reason.RUNNER_SILENT,
        Reason.UNSCHEDULABLE,
        Reason.VOLUME_MOUNT_FAILED,
        Reason.VOLUME_PENDING,
        Reason.VOLUME_RESIZE_FAILED,
        Reason.VOLUME_ZONE_CONFLICT,
    }
)
"""Whose words from elsewhere differ in numbers (ports, counts, times) from one try to the next."""


def _kept(said: Said, before: Condition | None) -> Said:
    """The same as before where only numbers differ: a failure that goes on is written once."""
    if before is None or said.reason not in _WAVERING or before.reason != said.reason.value:
        return said
    if _NUMBERS.sub("#", before.message) != _NUMBERS.sub("#", said.message):
        return said
    return replace(said, message=before.message)


def _not_ready(phase: Phase, cause: Cause) -> tuple[Phase, Said]:
    return phase, _said(False, cause)


def _said(holds: bool, cause: Cause) -> Said:
    return Said(holds, cause.reason, cause.message)


def _cause(reason: Reason, **facts: object) -> Cause:
    return Cause(reason, sentence(reason, **facts))


def _reason(text: str) -> Reason | None:
    return Reason(text) if text in {each.value for each in Reason} else None


def _time_text(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_UP_TO_DATE = Said(False, Reason.UP_TO_DATE, sentence(Reason.UP_TO_DATE))
_SERVING = Phase.READY, Said(True, Reason.SERVING, sentence(Reason.SERVING))
