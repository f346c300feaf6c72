"""Events for people: what `kubectl describe` shows of a bridge's failures, each told once.

An event is written only beside a status that was written, and only for what a person may want to
look at; the way from asleep to ready is told by the status alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from repobridge.conditions import Phase, Reason
from repobridge.crd import API_VERSION, KIND, RepoBridge
from repobridge.telemetry import Logger
from repobridge_operator.cluster import Cluster, ClusterError, Resource
from repobridge_operator.observed import BridgeKey
from repobridge_operator.resources.naming import FIELD_MANAGER
from repobridge_operator.status import Said, Standing

_AGAIN = timedelta(minutes=30)
"""How soon the same reason is told again, if it went and came back."""
_LONGEST_NOTE = 1024
_REASONS_KEPT = 32
_DEATHS = frozenset({Reason.EVICTED, Reason.OUT_OF_MEMORY, Reason.POD_FAILED})
"""What is mended by itself, and yet somebody's work was interrupted by it."""

_log = Logger("repobridge.operator")


class Announcer:
    """Writes events, and remembers what it told lately."""

    def __init__(self, cluster: Cluster, *, instance: str, now: Callable[[], datetime]) -> None:
        self._cluster = cluster
        self._instance = instance
        self._now = now
        self._told: dict[BridgeKey, dict[str, datetime]] = {}

    async def changed(self, bridge: RepoBridge, standing: Standing) -> None:
        """Tells what became wrong with a bridge; a failure to tell it is only logged."""
        for said in _news(bridge, standing):
            key = BridgeKey(bridge.metadata.namespace, bridge.metadata.name)
            if not self._is_due(key, said.reason.value):
                continue
            try:
                await self._cluster.create(Resource.EVENT, self._event(bridge, said))
            except ClusterError as error:
                _log.warning("event not written", bridge=str(key), error=str(error))

    def forget(self, key: BridgeKey) -> None:
        """Forgets a bridge that is gone."""
        self._told.pop(key, None)

    def _is_due(self, key: BridgeKey, reason: str) -> bool:
        told, now = self._told.setdefault(key, {}), self._now()
        if reason in told and now - told[reason] < _AGAIN:
            return False
        told[reason] = now
        while len(told) > _REASONS_KEPT:
            told.pop(next(iter(told)))
        return True

    def _event(self, bridge: RepoBridge, said: Said) -> dict[str, Any]:
        metadata, now = bridge.metadata, self._now().astimezone(UTC)
        digest = hashlib.sha256(f"{metadata.uid}{said.reason}{now}".encode()).hexdigest()[:16]
        return {
            "apiVersion": Resource.EVENT.api_version,
            "kind": Resource.EVENT.kind,
            "metadata": {
                "name": f"{metadata.name[:230]}.{digest}",
                "namespace": metadata.namespace,
            },
            "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingController": FIELD_MANAGER,
            "reportingInstance": self._instance[:128],
            "action": "Reconcile",
            "reason": said.reason.value,
            "note": said.message[:_LONGEST_NOTE],
            "type": "Warning",
            "regarding": {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "name": metadata.name,
                "namespace": metadata.namespace,
                "uid": metadata.uid,
                "resourceVersion": metadata.resource_version,
            },
        }


def _news(bridge: RepoBridge, standing: Standing) -> list[Said]:
    """The failures that the status did not say before."""
    found = []
    if not standing.accepted.holds:
        found.append(("Accepted", standing.accepted))
    elif standing.phase is Phase.FAILED or standing.ready.reason in _DEATHS:
        found.append(("Ready", standing.ready))
    present = {each.type: each.reason for each in bridge.status.conditions}
    return [said for kind, said in found if present.get(kind) != said.reason.value]
