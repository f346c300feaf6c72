"""Where all that is told of the cluster arrives: it is remembered, and its bridges are queued.

Watches tell most. A full look lists everything: at the start, and now and then, as a watch that had
to begin anew never tells what was deleted in between.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Iterable, Sequence

from repobridge import claims, crd
from repobridge.claims import Claim
from repobridge.telemetry import Logger
from repobridge_operator.cluster import Cluster, ClusterError, Object, Resource
from repobridge_operator.handlers import SELECTOR, WATCHED
from repobridge_operator.metrics import OperatorMetrics
from repobridge_operator.observed import BridgeKey, Observed
from repobridge_operator.queue import KeyedQueue
from repobridge_operator.rivals import Rivals

_AFTER_START_SECONDS = 15.0
_AFTER_FAILURE_SECONDS = 5.0

_log = Logger("repobridge.operator")


class Intake:
    """Remembers what is told, and asks for a look at whichever bridges it concerns."""

    def __init__(
        self,
        *,
        observed: Observed,
        rivals: Rivals,
        queue: KeyedQueue[BridgeKey],
        metrics: OperatorMetrics,
    ) -> None:
        self._observed = observed
        self._rivals = rivals
        self._queue = queue
        self._metrics = metrics
        self._began = asyncio.Event()

    def told(self, resource: Resource, found: Object, deleted: bool) -> None:
        """Takes what a watch, or the answer to a write of ours, tells."""
        take = self._observed.remove if deleted else self._observed.put
        key = take(resource, found)
        if key is None:
            return
        self.enqueue([key])
        if resource is Resource.BRIDGE:
            self.enqueue(self._rivals.put(key, None if deleted else _claim(found)))

    def enqueue(self, keys: Iterable[BridgeKey]) -> None:
        """Asks for a look at bridges."""
        for key in keys:
            if not self._queue.add(key):
                self._metrics.refused_by_queue()
                _log.warning("the queue is full", bridge=str(key))

    def watches_began(self) -> None:
        """Says that the watches list everything anew, so that a full look is due soon."""
        self._began.set()

    async def look(self, cluster: Cluster, namespaces: Sequence[str]) -> None:
        """Lists everything, and forgets what is not there; raises ClusterError."""
        for resource in WATCHED:
            # Who comes while the list is made is not in it, and not gone either.
            before = self._observed.uids(resource)
            listed: set[str] = set()
            for namespace in namespaces or (None,):
                selector = "" if resource is Resource.BRIDGE else SELECTOR
                async for page in cluster.pages(resource, namespace, selector=selector):
                    for found in page:
                        listed.add(found["metadata"]["uid"])
                        self.told(resource, found, False)
            self._forget(resource, before - listed)
        self.enqueue(self._observed.keys())
        _give_back()

    async def look_now_and_then(
        self, cluster: Cluster, namespaces: Sequence[str], *, seconds: float
    ) -> None:
        """Looks at everything every so often, and soon after the watches began; never ends."""
        pause = seconds
        while True:
            try:
                async with asyncio.timeout(pause):
                    await self._began.wait()
                self._began.clear()
                await asyncio.sleep(_AFTER_START_SECONDS)
            except TimeoutError:
                pass
            try:
                await self.look(cluster, namespaces)
                pause = seconds
            except ClusterError as error:
                _log.warning("a full look failed", error=str(error))
                pause = _AFTER_FAILURE_SECONDS

    def _forget(self, resource: Resource, uids: frozenset[str]) -> None:
        if not uids:
            return
        touched = self._observed.forget(resource, uids)
        _log.info("forgot what is gone", kind=resource.kind, objects=len(uids))
        self.enqueue(touched)
        if resource is Resource.BRIDGE:
            for key in touched:
                self.enqueue(self._rivals.put(key, None))


def _give_back() -> None:
    """Returns the memory that a full look took for a moment, which glibc would keep."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _claim(found: Object) -> Claim | None:
    """What a bridge claims; a spec that can't be read claims nothing."""
    try:
        return claims.claim_of(crd.parse(found))
    except crd.SpecError:
        return None
