"""A bridge of a cluster that is reached through kubectl, with the rights of whoever runs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from repobridge.errors import Refusal, Status
from repobridge_cli.cluster import observed
from repobridge_cli.cluster.exec_stream import ExecDialler, opened_channel
from repobridge_cli.cluster.kubectl import Kubectl
from repobridge_gateway.fleet.observed import ClusterError, Observed
from repobridge_gateway.fleet.remote import DRAINING_SECONDS, MENDING_SECONDS, RemoteBridge
from repobridge_gateway.fleet.status import RunnerLink
from repobridge_gateway.session_client import SessionClient


class ClusterBridge(RemoteBridge):
    """One RepoBridge; `run` keeps it current."""

    def __init__(
        self,
        kubectl: Kubectl,
        first: Observed,
        *,
        mending_seconds: float = MENDING_SECONDS,
        draining_seconds: float = DRAINING_SECONDS,
    ) -> None:
        super().__init__(
            _KubectlReach(kubectl),
            first,
            mending_seconds=mending_seconds,
            draining_seconds=draining_seconds,
        )
        self._kubectl = kubectl

    async def present(self) -> RunnerLink:
        """The runner that is there, without a wish for one; raises a Refusal where none is."""
        there = asyncio.ensure_future(self.status.until(lambda s: bool(s.link) or s.closed))
        gone = asyncio.ensure_future(self.object.until(lambda o: not o.has_pod))
        try:
            await asyncio.wait({there, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (there, gone):
                task.cancel()
            await asyncio.gather(there, gone, return_exceptions=True)
        status = self.status.value
        if status.link is None:
            why = status.reason if status.closed else self.object.value.message
            raise Refusal(Status.UNAVAILABLE, "NOT_RUNNING", f"{self.name} does not serve: {why}")
        return status.link

    async def run(self) -> None:
        """Follows the cluster until it is cancelled; raises ClusterError where that is over."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._observe())
                group.create_task(super().run())
        except* ClusterError as errors:
            error = errors.exceptions[0]
            self.failed(str(error), closed=True)
            raise error from None

    async def _observe(self) -> None:
        async for seen in observed.watch(self._kubectl, self.name):
            if seen.is_deleted:
                raise ClusterError(f"RepoBridge {self.name} is being deleted.")
            self.see(seen)


class _KubectlReach:
    """The cluster through kubectl."""

    again_seconds = 0.3

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl

    async def wish(self, name: str, replicas: int) -> None:
        """Wishes a bridge awake or asleep; raises ClusterError."""
        await scale(self._kubectl, name, replicas)

    @asynccontextmanager
    async def opened(self, seen: Observed) -> AsyncIterator[_ExecLine]:
        """A tunnel through an exec into the pod."""
        dialler = ExecDialler(self._kubectl, seen.pod_name)
        async with opened_channel(dialler) as channel:
            yield _ExecLine(channel, dialler)


class _ExecLine:
    def __init__(self, channel: grpc.aio.Channel, dialler: ExecDialler) -> None:
        self.channel = channel
        self._dialler = dialler

    async def check(self, refusal: Refusal, client: SessionClient) -> None:
        """Raises ClusterError where kubectl has said that it never will."""
        self._dialler.check()

    async def verify(self, client: SessionClient) -> None:
        """The cluster itself says which pod an exec goes into."""

    async def outlived(self) -> None:
        """Never: what kubectl shows the cluster is kubectl's own business."""
        await asyncio.Event().wait()


async def scale(kubectl: Kubectl, name: str, replicas: int) -> None:
    """Says through `/scale` how many pods a bridge is to have; raises ClusterError."""
    patch = f'{{"spec":{{"replicas":{replicas}}}}}'
    await kubectl.run(
        "patch", observed.RESOURCE, name, "--subresource=scale", "--type=merge", "-p", patch
    )
