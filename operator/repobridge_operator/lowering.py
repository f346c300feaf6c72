"""Lowers the wish of a bridge that was found idle, unless somebody wished otherwise since.

The wish goes through /scale with the resourceVersion at which the bridge was found idle. A status
that was written since is no wish: the write is repeated on top of it. Whatever changes the spec
raises its generation, and wins.
"""

from __future__ import annotations

from typing import Any

from repobridge.telemetry import Logger
from repobridge_operator.cluster import Cluster, ClusterError, Conflict, NotFound, Resource
from repobridge_operator.observed import BridgeKey
from repobridge_operator.sleep_values import Lower, Lowering

_ATTEMPTS = 5
_log = Logger("repobridge.operator")


async def lower_replicas(
    cluster: Cluster, key: BridgeKey, *, bridge_uid: str, lower: Lower
) -> Lowering:
    """Sets `spec.replicas` to 0; what became of it."""
    version = lower.resource_version
    try:
        for _ in range(_ATTEMPTS):
            try:
                await cluster.patch(
                    Resource.BRIDGE, key.namespace, key.name, _patch(version), subresource="scale"
                )
                return Lowering.DONE
            except Conflict:
                found = await cluster.get(Resource.BRIDGE, key.namespace, key.name)
            if found["metadata"]["uid"] != bridge_uid:
                return Lowering.OVERTAKEN
            if not found["spec"].get("replicas"):
                return Lowering.DONE  # by an attempt whose answer was lost, or by somebody else
            if found["metadata"]["generation"] != lower.generation:
                return Lowering.OVERTAKEN
            version = found["metadata"]["resourceVersion"]
    except NotFound:
        return Lowering.OVERTAKEN
    except ClusterError as error:
        _log.warning("wish not lowered", bridge=str(key), error=str(error))
    return Lowering.FAILED


def _patch(version: str) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": version}, "spec": {"replicas": 0}}
