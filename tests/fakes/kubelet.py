"""Stands in for a node, on an API server that has none: it binds pods, and reports what they do.

It runs nothing. It does what scheduler and kubelet do through the API, in their order: a pod is
bound, then reported as its `fate` says; a changed fate or changed resources are reported anew; a
pod that is being deleted is reported as ended and then removed. Without it a pod stays Pending.
There is no Node object; what becomes of pods when a node is lost is tested on a real one.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime

import aiohttp

from tests.apiserver.rest import Object, Rest, RestError
from tests.fakes.fates import Ended, Fate, Node, Note, Running, Unschedulable

_FINAL = frozenset({"Succeeded", "Failed"})
_OUTDATED = frozenset({404, 409})
_RETRY_SECONDS = 0.1

Told = tuple[Fate, object]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Kubelet:
    """One node for the pods of a namespace."""

    def __init__(
        self,
        api: Rest,
        *,
        namespace: str,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self.fate: Callable[[Object], Fate] = lambda pod: Running()
        """What becomes of a pod. After a change, call `reconsider`."""
        self.address: Callable[[Object], str] = self._next_address
        """Gives a pod its address."""
        self.removes_pods = True
        """False: pods that are being deleted stay, as on a node that does not answer."""
        self.name = f"node-{secrets.token_hex(3)}"
        self._api = api
        self._namespace = namespace
        self._pods_path = f"/api/v1/namespaces/{namespace}/pods"
        self._clock = clock
        self._numbers = itertools.count(2)
        self._pods: dict[str, Object] = {}
        self._addresses: dict[str, str] = {}
        self._told: dict[str, Told] = {}
        self._noted: dict[str, Fate] = {}
        self._busy: set[str] = set()
        self._again: set[str] = set()
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            while True:
                try:
                    await self._follow()
                except (RestError, aiohttp.ClientError) as error:
                    if not _passes(error):
                        raise
                    await asyncio.sleep(_RETRY_SECONDS)

    def reconsider(self) -> None:
        """Looks at every pod again: call it after a change of `fate` or of what else is public."""
        for uid in list(self._pods):
            self._wake(uid)

    async def _follow(self) -> None:
        known = await self._api.get(self._pods_path)
        self._pods = {pod["metadata"]["uid"]: pod for pod in known["items"]}
        self.reconsider()
        since = known["metadata"]["resourceVersion"]
        async with aclosing(self._api.watch(self._pods_path, since=since)) as events:
            async for event in events:
                pod = event["object"]
                uid = pod["metadata"]["uid"]
                if event["type"] == "DELETED":
                    self._pods.pop(uid, None)
                else:
                    self._pods[uid] = pod
                    self._wake(uid)

    def _wake(self, uid: str) -> None:
        """One task a pod at most, so that its steps stay in order."""
        assert self._tasks is not None
        if uid in self._busy:
            self._again.add(uid)
        else:
            self._busy.add(uid)
            self._tasks.create_task(self._work(uid))

    async def _work(self, uid: str) -> None:
        try:
            while (pod := self._pods.get(uid)) is not None:
                self._again.discard(uid)
                try:
                    await self._sync(pod)
                except (RestError, aiohttp.ClientError) as error:
                    if _passes(error):
                        await asyncio.sleep(_RETRY_SECONDS)
                        continue
                    # Gone or changed since: the watch tells, and the next round sees it.
                    if not (isinstance(error, RestError) and error.code in _OUTDATED):
                        raise
                if uid not in self._again:
                    break
        finally:
            self._busy.discard(uid)

    async def _sync(self, pod: Object) -> None:
        fate = self.fate(pod)
        if not pod["spec"].get("nodeName"):
            if isinstance(fate, Unschedulable):
                await self._report(pod, fate)
            else:
                await self._bind(pod)
        elif pod["spec"]["nodeName"] != self.name:
            return
        elif pod["metadata"].get("deletionTimestamp"):
            if self.removes_pods:
                await self._remove(pod)
        elif pod["status"]["phase"] not in _FINAL and not isinstance(fate, Unschedulable):
            await self._report(pod, fate)

    async def _bind(self, pod: Object) -> None:
        name = pod["metadata"]["name"]
        target = {"apiVersion": "v1", "kind": "Node", "name": self.name}
        metadata = {"name": name, "uid": pod["metadata"]["uid"]}
        await self._api.create(
            f"{self._pods_path}/{name}/binding", {"metadata": metadata, "target": target}
        )

    async def _report(self, pod: Object, fate: Fate) -> None:
        """Writes the status once for each fate and each set of resources."""
        uid = pod["metadata"]["uid"]
        resources = [one.get("resources") for one in pod["spec"]["containers"]]
        told = self._told.get(uid)
        if told == (fate, resources):
            return
        # A real one says that it evicts a pod, then ends it, and then writes what became of it.
        if self._noted.get(uid) != fate:
            self._noted[uid] = fate
            for note in fate.notes(pod):
                await self._tell(pod, note)
        await self._write_status(pod, fate)
        self._told[uid] = (fate, resources)

    async def _write_status(self, pod: Object, fate: Fate) -> None:
        metadata = pod["metadata"]
        status = fate.status(pod, self._node(pod))
        body = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "status": status}
        await self._api.merge(f"{self._pods_path}/{metadata['name']}/status", body)

    async def _remove(self, pod: Object) -> None:
        """Says that the containers have ended, then removes the pod, and no other of its name."""
        path = f"{self._pods_path}/{pod['metadata']['name']}"
        if pod["status"]["phase"] not in _FINAL and pod["spec"]["restartPolicy"] == "Never":
            await self._write_status(pod, Ended())
        await self._api.delete(path, grace_seconds=0, uid=pod["metadata"]["uid"])

    async def _tell(self, pod: Object, note: Note) -> None:
        metadata = pod["metadata"]
        now = self._node(pod).time
        reference = {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": self._namespace,
            "name": metadata["name"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        }
        event = {
            "metadata": {"name": f"{metadata['name']}.{secrets.token_hex(8)}"},
            "involvedObject": reference,
            "reason": note.reason,
            "message": note.message,
            "type": note.type,
            "source": {"component": note.source, "host": self.name},
            "reportingComponent": note.source,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        await self._api.create(f"/api/v1/namespaces/{self._namespace}/events", event)

    def _node(self, pod: Object) -> Node:
        uid = pod["metadata"]["uid"]
        if uid not in self._addresses:
            self._addresses[uid] = self.address(pod)
        return Node(self.name, self._addresses[uid], self._clock())

    def _next_address(self, pod: Object) -> str:
        number = next(self._numbers)
        return f"10.88.{number // 256 % 256}.{number % 256}"


def _passes(error: Exception) -> bool:
    """Whether it is a fault of the server's or of the connection, over which a node goes on."""
    if isinstance(error, RestError):
        return error.code in {410, 429} or error.code >= 500
    return True


@asynccontextmanager
async def run_kubelet(api: Rest, *, namespace: str) -> AsyncIterator[Kubelet]:
    """A node at work; an error of its own fails the test."""
    kubelet = Kubelet(api, namespace=namespace)
    working = asyncio.create_task(kubelet.run())
    try:
        yield kubelet
    finally:
        if not working.done():
            working.cancel()
        await asyncio.wait([working])
        if not working.cancelled():
            working.result()
