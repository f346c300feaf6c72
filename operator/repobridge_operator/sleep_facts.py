"""What the way to sleep needs to know of a bridge and its pod, read from their objects."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from repobridge.conditions import ConditionType, Reason
from repobridge.crd import RepoBridge
from repobridge.idle import IdlePolicy
from repobridge_operator.podstate import (
    pod_address,
    pod_is_running,
    pod_is_starting_up,
    runner_status,
    time_of,
)
from repobridge_operator.resources.runnersettings import GRPC_PORT
from repobridge_operator.sleep_values import Facts, Want


def facts_of(bridge: RepoBridge, pod: Mapping[str, Any], *, want: Want) -> Facts:
    """The facts of a bridge with a pod that is not being deleted."""
    scaling = bridge.spec.scaling
    started = _started_at(pod)
    return Facts(
        want=want,
        bridge_uid=bridge.metadata.uid,
        pod_uid=pod["metadata"]["uid"],
        address=pod_address(pod),
        port=GRPC_PORT,
        is_running=pod_is_running(pod),
        is_starting_up=pod_is_starting_up(pod),
        awake_since=started.timestamp(),
        asleep_since=_asleep_since(bridge, started),
        resource_version=bridge.metadata.resource_version,
        generation=bridge.metadata.generation,
        pod_version=pod["metadata"]["resourceVersion"],
        policy=IdlePolicy(
            idle_seconds=scaling.idle_seconds,
            max_awake_seconds=scaling.max_awake_seconds,
            min_replicas=scaling.min_replicas,
        ),
        drain_timeout_seconds=scaling.drain_seconds,
    )


def _started_at(pod: Mapping[str, Any]) -> datetime:
    running = (runner_status(pod).get("state") or {}).get("running") or {}
    return time_of(running.get("startedAt") or pod["metadata"]["creationTimestamp"])


def _asleep_since(bridge: RepoBridge, started: datetime) -> float | None:
    """Since when the bridge is not Ready because it drains; never before this pod was there."""
    ready = bridge.status.condition(ConditionType.READY)
    if ready is None or ready.reason != Reason.DRAINING or ready.last_transition_time is None:
        return None
    return max(ready.last_transition_time, started).timestamp()
