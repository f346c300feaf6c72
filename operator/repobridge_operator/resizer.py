"""Resizes live pods in place, as `resize` plans it, and remembers what was refused, in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from repobridge.telemetry import Logger
from repobridge_operator import resize
from repobridge_operator.cluster import Cluster, ClusterError, NotFound, Object, Refused, Resource
from repobridge_operator.resize import Resizing
from repobridge_operator.resources.amounts import Memory

_AGAIN_SECONDS = 30.0
_REMEMBERED = 10_000
_log = Logger("repobridge.operator")


@dataclass(frozen=True, slots=True)
class Resized:
    """What became of a look at a pod's memory."""

    refusal: str = ""
    """Why the pod can't have what it should; empty where it can."""
    again_seconds: float | None = None
    """When to look again though nothing is told."""


class Resizer:
    """The pods whose memory follows their sessions."""

    def __init__(self, cluster: Cluster, *, clock: Callable[[], float]) -> None:
        self._cluster = cluster
        self._clock = clock
        self._states: dict[str, Resizing] = {}

    async def tend(self, pod: Object, wanted: Memory) -> Resized:
        """Gives a running pod the memory that it should have, where that is due and possible."""
        present = resize.memory_of(pod)
        if present is None:
            return Resized()
        uid = pod["metadata"]["uid"]
        now = self._clock()
        plan = resize.plan(self._states.get(uid, Resizing()), present, wanted, now=now)
        state, resized = plan.state, Resized(plan.refusal, plan.again_seconds)
        if plan.target is not None:
            state, resized = await self._resize(pod, state, plan.target)
        self._remember(uid, state)
        return resized

    def _remember(self, uid: str, state: Resizing) -> None:
        self._states.pop(uid, None)
        if state != Resizing():
            self._states[uid] = state
        if len(self._states) > _REMEMBERED:
            # Of a pod that is long gone, most likely; else it is only asked for once more.
            del self._states[next(iter(self._states))]

    async def _resize(
        self, pod: Object, state: Resizing, target: Memory
    ) -> tuple[Resizing, Resized]:
        metadata = pod["metadata"]
        pod_name = f"{metadata['namespace']}/{metadata['name']}"
        try:
            await self._cluster.patch(
                Resource.POD,
                metadata["namespace"],
                metadata["name"],
                resize.make_resize(target, pod),
                subresource="resize",
            )
        except (Refused, NotFound) as error:
            # A cluster without the subresource answers as if there were no such pod.
            _log.warning("pod not resized", pod=pod_name, error=str(error))
            refused = resize.refused(state, target, str(error), now=self._clock())
            return refused, Resized(str(error), resize.REFUSED_SECONDS)
        except ClusterError as error:
            _log.warning("pod not resized yet", pod=pod_name, error=str(error))
            return state, Resized(again_seconds=_AGAIN_SECONDS)
        _log.info("pod resized", pod=pod_name, request=target.request, limit=target.limit)
        return resize.accepted(state), Resized()
