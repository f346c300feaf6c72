"""The events of pods that do not start: they alone say why a volume or a sandbox is missing.

They are not watched, as a cluster has thousands that concern nobody here: those of one pod are read
now and then, while it is on its way, and once where it ended and its status does not say why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from repobridge.telemetry import Logger
from repobridge_operator.cluster import Cluster, ClusterError, Object, Resource
from repobridge_operator.deathcauses import is_unexplained
from repobridge_operator.podstate import pod_has_started, time_of

_FIRST_SECONDS = 3.0
_LONGEST_SECONDS = 60.0
_KEPT = 200

_log = Logger("repobridge.operator")


@dataclass(frozen=True, slots=True)
class _Read:
    at: datetime
    found: Sequence[Object]


class PodEvents:
    """What was read of the pods that are on their way."""

    def __init__(self, cluster: Cluster, *, now: Callable[[], datetime]) -> None:
        self._cluster = cluster
        self._now = now
        self._read: dict[str, _Read] = {}

    async def of(self, pod: Object) -> Sequence[Object]:
        """The pod's events, as last read; none for a pod that says all by itself."""
        uid = pod["metadata"]["uid"]
        if is_unexplained(pod):
            return await self._fetch(pod, None)
        if pod_has_started(pod) or pod["metadata"].get("deletionTimestamp"):
            self._read.pop(uid, None)
            return ()
        read = self._read.get(uid)
        if self._due_in(pod) <= 0:
            read = self._read[uid] = _Read(self._now(), await self._fetch(pod, read))
            while len(self._read) > _KEPT:  # pods that went without our seeing them start
                self._read.pop(next(iter(self._read)))
        return read.found if read else ()

    def again_seconds(self, pod: Object) -> float | None:
        """When to look again, as no watch tells; None for a pod that has started."""
        return None if pod_has_started(pod) else max(self._due_in(pod), 0.1)

    def _due_in(self, pod: Object) -> float:
        """Seconds until the next reading: less often the longer the pod waits."""
        now, born = self._now(), time_of(pod["metadata"]["creationTimestamp"])
        read = self._read.get(pod["metadata"]["uid"])
        last = born if read is None else read.at
        pause = min(max((last - born) / timedelta(seconds=1) / 2, _FIRST_SECONDS), _LONGEST_SECONDS)
        return pause - (now - last) / timedelta(seconds=1)

    async def _fetch(self, pod: Object, before: _Read | None) -> Sequence[Object]:
        metadata = pod["metadata"]
        found: list[Object] = []
        try:
            async for page in self._cluster.pages(
                Resource.EVENT, metadata["namespace"], fields=f"regarding.uid={metadata['uid']}"
            ):
                found += page
        except ClusterError as error:
            _log.warning("events not read", pod=metadata["name"], error=str(error))
            return before.found if before else ()
        return found
