"""A pod that died is replaced at once, and yet its bridge says first what it died of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.apiserver.access import User
from tests.apiserver.operators import run_operator
from tests.apiserver.rest import Object
from tests.apiserver.test_operator import Place, condition, in_phase, place, ready_because, user
from tests.fakes.fates import Ended, Evicted, Fate, Note, Running
from tests.fakes.kubelet import Kubelet

__all__ = ["place", "user"]


@dataclass(frozen=True)
class EvictedPolitely(Ended):
    """An eviction whose runner ends well within its grace: only the event says what it was."""

    def notes(self, pod: Object) -> tuple[Note, ...]:
        """The events of the pod."""
        return (Note("Evicted", "The node was low on resource: ephemeral-storage."),)


@dataclass(frozen=True)
class End:
    """How a pod ends, and what is to be told of it."""

    fate: Fate
    reason: str
    told: str


ENDS = {
    "out of memory": End(
        Ended(exit_code=137, reason="OOMKilled"), "OutOfMemory", "memory of 2656Mi"
    ),
    "evicted": End(Evicted(), "Evicted", "low on resource: memory."),
    "evicted politely": End(EvictedPolitely(), "Evicted", "low on resource: ephemeral-storage."),
    "unusable": End(
        Ended(exit_code=2, message="repobridge-runner: The volume is not there."),
        "PodFailed",
        "exit code 2: The volume is not there.",
    ),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
async def test_a_death_is_told_before_the_pod_is_replaced(
    place: Place, user: User, kubelet: Kubelet, tmp_path: Path, end: End
) -> None:
    async with run_operator(user, tmp_path, namespace=place.namespace) as operator:
        await operator.leads()
        await place.make(replicas=1)
        before = await place.until(in_phase("Ready"))
        first = before["status"]["endpoint"]["podUID"]
        kubelet.fate = lambda pod: end.fate if pod["metadata"]["uid"] == first else Running()
        kubelet.reconsider()
        await place.until(
            lambda one: in_phase("Ready")(one) and one["status"]["endpoint"]["podUID"] != first
        )
        bridge = await _passed(place, ready_because(end.reason), since=before)
        assert end.told in condition(bridge, "Ready")["message"]
        events = (await place.admin.get(place.events))["items"]
        ours = [one for one in events if one["involvedObject"]["name"] == "one"]
        assert [one["reason"] for one in ours] == [end.reason]


async def _passed(place: Place, told: Callable[[Object], bool], *, since: Object) -> Object:
    """The first state of the bridge, after another one, of which this is so."""
    version = since["metadata"]["resourceVersion"]
    async with (
        asyncio.timeout(90),
        aclosing(place.admin.watch(place.bridges, since=version)) as changes,
    ):
        async for change in changes:
            if told(change["object"]):
                found: Object = change["object"]
                return found
    raise AssertionError("the watch has ended")
