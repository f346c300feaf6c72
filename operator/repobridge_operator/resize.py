"""A live pod's memory follows its sessions: when to resize it in place, and what a refusal means.

More is asked for at once, less only when it has been less for a while: so sessions that come and go
cause no writes, nor does a stable bridge. What the cluster refuses is not asked for again until
something else is wanted, or a while has passed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from repobridge import quantities
from repobridge_operator.resources.amounts import MEMORY, Memory
from repobridge_operator.resources.pod import CONTAINER

SHRINK_SECONDS = 300.0
REFUSED_SECONDS = 900.0
_PENDING = "PodResizePending"
_UNDER_WAY = "PodResizeInProgress"


@dataclass(frozen=True, slots=True, kw_only=True)
class PodMemory:
    """A pod's memory as its spec has it, and what the kubelet says to that."""

    wanted: Memory
    is_infeasible: bool = False
    """Its node can never give it so much."""
    is_waiting: bool = False
    """The kubelet has not carried out what was last asked for; it goes on trying by itself."""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resizing:
    """What is remembered of one pod; times are monotonic."""

    less_since: float | None = None
    refused: Memory | None = None
    refused_until: float = 0.0
    sentence: str = ""
    """Why that was refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do now: a new size, or none; and when the clock alone may change that."""

    state: Resizing
    target: Memory | None = None
    again_seconds: float | None = None
    refusal: str = ""
    """Why the pod can't have what it should; empty where it can."""


def memory_of(pod: Mapping[str, Any]) -> PodMemory | None:
    """What a pod says of its memory; None where its container asks for none."""
    containers = pod.get("spec", {}).get("containers") or ()
    found = next((each for each in containers if each.get("name") == CONTAINER), None)
    amounts = (found or {}).get("resources") or {}
    request = (amounts.get("requests") or {}).get(MEMORY)
    limit = (amounts.get("limits") or {}).get(MEMORY)
    if request is None or limit is None:
        return None
    conditions = pod.get("status", {}).get("conditions") or ()
    told = {each.get("type"): each for each in conditions if each.get("status") == "True"}
    pending, under_way = told.get(_PENDING), told.get(_UNDER_WAY)
    detail = str((pending or under_way or {}).get("message", ""))
    return PodMemory(
        wanted=Memory(request=quantities.whole(request), limit=quantities.whole(limit)),
        is_infeasible=bool(pending and pending.get("reason") == "Infeasible"),
        is_waiting=bool(pending or under_way),
        detail=detail,
    )


def plan(state: Resizing, present: PodMemory, wanted: Memory, *, now: float) -> Plan:
    """Whether the pod is to be resized, to `wanted` or to something on the way to it."""
    more = Memory(
        request=max(present.wanted.request, wanted.request),
        limit=max(present.wanted.limit, wanted.limit),
    )
    if more == present.wanted:
        return _less(state, present, wanted, now=now)
    if present.is_infeasible:
        detail = present.detail or "Its node has not so much memory."
        return Plan(state=replace(state, less_since=None), refusal=detail)
    return _ask(replace(state, less_since=None), more, now=now)


def _less(state: Resizing, present: PodMemory, wanted: Memory, *, now: float) -> Plan:
    if wanted == present.wanted:
        return Plan(state=replace(state, less_since=None))
    since = now if state.less_since is None else state.less_since
    state = replace(state, less_since=since)
    left = since + SHRINK_SECONDS - now
    return Plan(state=state, again_seconds=left) if left > 0 else _ask(state, wanted, now=now)


def _ask(state: Resizing, target: Memory, *, now: float) -> Plan:
    if state.refused == target and now < state.refused_until:
        left = state.refused_until - now
        return Plan(state=state, again_seconds=left, refusal=state.sentence)
    return Plan(state=state, target=target)


def accepted(state: Resizing) -> Resizing:
    """The state after the API server took a new size."""
    return replace(state, less_since=None, refused=None, refused_until=0.0, sentence="")


def refused(state: Resizing, target: Memory, sentence: str, *, now: float) -> Resizing:
    """The state after the API server refused a new size."""
    return replace(state, refused=target, refused_until=now + REFUSED_SECONDS, sentence=sentence)


def make_resize(target: Memory, pod: Mapping[str, Any]) -> dict[str, Any]:
    """The patch for the subresource `resize`, which fails if the pod is another by then."""
    resources = {
        "requests": {MEMORY: quantities.text(target.request)},
        "limits": {MEMORY: quantities.text(target.limit)},
    }
    return {
        "metadata": {"uid": pod["metadata"]["uid"]},
        "spec": {"containers": [{"name": CONTAINER, "resources": resources}]},
    }
