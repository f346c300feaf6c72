"""A bridge of a cluster, as the router and whoever follows it know any bridge."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from repobridge.errors import Refusal, Status
from repobridge.idle import Activity
from repobridge.session.events import Cursor
from repobridge_cli.cluster import observed
from repobridge_cli.cluster.exec_stream import ExecDialler, opened_channel
from repobridge_cli.cluster.kubectl import ClusterError, Kubectl
from repobridge_cli.cluster.observed import Observed
from repobridge_gateway.fleet.status import BridgePhase, BridgeStatus, RunnerLink
from repobridge_gateway.notices import GatewayNotice, NoticeBoard, NoticeCode
from repobridge_gateway.session_client import SessionClient
from repobridge_gateway.watched import Watched

_WITH_POD = frozenset({"Waking", "Ready", "Draining"})
_FULL = "WorkspaceFull"
"""A failure of a runner that is there: what runs goes on, and it refuses new work by itself."""
_TRIED_AGAIN = frozenset({"VolumeMountFailed"})
"""Failures that a busy node has for a moment, and mends by itself."""
_PASSING = frozenset({BridgePhase.FAILED, BridgePhase.DRAINING})
_AGAIN_SECONDS = 0.3
_MENDING_SECONDS = 45.0
"""How long a cause that passes, or was there before we asked, may take to be gone: a kubelet looks
for a Secret that was missing every half a minute or so."""
_DRAINING_SECONDS = 35.0
"""A drain that nobody renews is over by then, whatever is said of it where no operator is there."""


class ClusterBridge:
    """One RepoBridge; `run` keeps it current."""

    def __init__(
        self,
        kubectl: Kubectl,
        first: Observed,
        *,
        mending_seconds: float = _MENDING_SECONDS,
        draining_seconds: float = _DRAINING_SECONDS,
    ) -> None:
        self.board = NoticeBoard()
        self.status = Watched(BridgeStatus(BridgePhase.ASLEEP))
        self._kubectl = kubectl
        self._object = Watched(first)
        self._mending_seconds = mending_seconds
        self._draining_seconds = draining_seconds
        self._wanted = False
        self._told = _cause(first) if first.phase == "Failed" else ("", "")

    @property
    def name(self) -> str:
        """Its name in its namespace."""
        return self._object.value.name

    @property
    def llm(self) -> str:
        """The kind of its agent."""
        return self._object.value.agent

    @property
    def place(self) -> str:
        """Its repository's URL."""
        return self._object.value.repository or "no repository"

    @property
    def newest(self) -> Cursor | None:
        """Not known while it sleeps: a link brings it."""
        return None

    @property
    def object(self) -> Watched[Observed]:
        """What the cluster says of it."""
        return self._object

    async def awake(self) -> RunnerLink:
        """The runner, woken if need be; raises a Refusal when that fails."""
        seen, failures = self._object.value, self.status.value.failures
        self._refuse_what_stays_asleep(seen)
        self._wanted = True
        await self._ask(seen)
        status = await self._settled(seen, failures)
        if status.link is None:
            reason = "CLUSTER_LOST" if status.closed else "WAKE_FAILED"
            raise Refusal(Status.UNAVAILABLE, reason, status.reason)
        return status.link

    async def present(self) -> RunnerLink:
        """The runner that is there, without a wish for one; raises a Refusal where none is."""
        there = asyncio.ensure_future(self.status.until(lambda s: bool(s.link) or s.closed))
        gone = asyncio.ensure_future(self._object.until(lambda o: not _has_pod(o)))
        try:
            await asyncio.wait({there, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (there, gone):
                task.cancel()
            await asyncio.gather(there, gone, return_exceptions=True)
        status = self.status.value
        if status.link is None:
            why = status.reason if status.closed else self._object.value.message
            raise Refusal(Status.UNAVAILABLE, "NOT_RUNNING", f"{self.name} does not serve: {why}")
        return status.link

    async def _settled(self, asked: Observed, failures: int) -> BridgeStatus:
        """Waits until it is awake or has failed; what was wrong before is no failure yet."""
        if asked.phase == "Failed":
            self._post(NoticeCode.WAKING, f"{asked.reason}: {asked.message}")
            await self._mended(asked, failures)
        while True:
            status = await self.status.until(
                lambda s: _is_settled(s, failures) or s.phase in _PASSING
            )
            if status.phase is BridgePhase.DRAINING:
                status = await self._outlasted()
            if _is_settled(status, failures) or status.phase is BridgePhase.DRAINING:
                return status
            if status.phase is BridgePhase.FAILED:
                await self._mended(self._object.value, failures)

    async def _outlasted(self) -> BridgeStatus:
        """Gives the operator time to end a drain; without one the runner speaks for itself."""
        text = f"{self.name} is on its way to sleep, and is asked to stay."
        self._post(NoticeCode.WAKING, text)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._draining_seconds):
                await self.status.until(lambda s: s.phase is not BridgePhase.DRAINING)
        return self.status.value

    async def _mended(self, failed: Observed, failures: int) -> None:
        """Gives what may pass, or have been mended meanwhile, the time for that."""
        self._post(NoticeCode.WAKING, "Waiting for that to be mended.")
        try:
            async with asyncio.timeout(self._mending_seconds):
                await self.status.until(lambda s: _is_settled(s, failures))
        except TimeoutError:
            if self._object.value.reason == failed.reason:
                self._set(BridgePhase.FAILED, reason=failed.message, failed=True)
                self._post(NoticeCode.WAKE_FAILED, f"{self.name} still can't start.")

    def accepted(self, message_id: str) -> None:
        """The operator keeps it awake while it has work: nothing is to be remembered here."""

    async def run(self) -> None:
        """Follows the cluster until it is cancelled; raises ClusterError where that is over."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._observe())
                group.create_task(self._keep_linked())
        except* ClusterError as errors:
            error = errors.exceptions[0]
            self._set(BridgePhase.FAILED, reason=str(error), failed=True, closed=True)
            raise error from None

    async def _observe(self) -> None:
        async for seen in observed.watch(self._kubectl, self.name):
            if seen.is_deleted:
                raise ClusterError(f"RepoBridge {self.name} is being deleted.")
            self._object.set(seen)
            self._tell(seen)
            # Level-triggered: a wish that somebody took back is made anew while we wait.
            if self._wanted and not seen.is_suspended:
                await self._ask(seen)

    async def _ask(self, seen: Observed) -> None:
        if seen.wish == 0:
            await scale(self._kubectl, self.name, 1)

    def _tell(self, seen: Observed) -> None:
        now, before = _cause(seen), self._told
        self._told = now
        link = self.status.value.link
        if link is not None:
            self._set(_phase_of(seen), link=link)
        elif now == before:
            return
        elif seen.phase == "Failed":
            passes = _has_pod(seen) or seen.reason in _TRIED_AGAIN
            self._set(BridgePhase.FAILED, reason=seen.message, failed=not passes)
            self._post(NoticeCode.WAKE_FAILED, f"{seen.reason}: {seen.message}")
        elif seen.phase == "Waking":
            self._set(BridgePhase.WAKING, reason=seen.message)
            self._post(NoticeCode.WAKING, f"Waking {self.name}: {seen.message}")

    def _refuse_what_stays_asleep(self, seen: Observed) -> None:
        if seen.is_suspended:
            text = f"{seen.name} is suspended; it goes on once spec.suspend is false."
            raise Refusal(Status.FAILED_PRECONDITION, "SUSPENDED", text)
        if seen.refusal:
            raise Refusal(Status.FAILED_PRECONDITION, "NOT_ACCEPTED", seen.refusal)

    async def _keep_linked(self) -> None:
        while True:
            seen = await self._object.until(_has_pod)
            await self._linked(seen)
            self._set(BridgePhase.ASLEEP)

    async def _linked(self, seen: Observed) -> None:
        """Talks to one pod as long as it is the bridge's."""
        dialler = ExecDialler(self._kubectl, seen.pod_name)
        async with opened_channel(dialler) as channel:
            client = SessionClient(channel)
            other = asyncio.ensure_future(
                self._object.until(lambda o: not _has_pod(o) or o.pod_uid != seen.pod_uid)
            )
            answering = asyncio.ensure_future(_answering(client, dialler))
            try:
                await asyncio.wait({other, answering}, return_when=asyncio.FIRST_COMPLETED)
                if not answering.done():
                    return
                activity = answering.result()
                newest = Cursor(activity.log_id, activity.last_sequence)
                self._wanted = False
                self._set(_phase_of(seen), link=RunnerLink(client, channel, newest))
                self._post(NoticeCode.READY, f"{self.name} is awake.")
                await other
                self._post(NoticeCode.IDLE_TIMEOUT, f"{self.name} sleeps, or gets another pod.")
            finally:
                for task in (other, answering):
                    task.cancel()
                await asyncio.gather(other, answering, return_exceptions=True)

    def _post(self, code: NoticeCode, text: str) -> None:
        self.board.post(GatewayNotice(code=code, text=text))

    def _set(
        self,
        phase: BridgePhase,
        *,
        reason: str = "",
        link: RunnerLink | None = None,
        failed: bool = False,
        closed: bool = False,
    ) -> None:
        failures = self.status.value.failures + failed
        self.status.set(BridgeStatus(phase, reason, link, failures, closed))


async def scale(kubectl: Kubectl, name: str, replicas: int) -> None:
    """Says through `/scale` how many pods a bridge is to have; raises ClusterError."""
    patch = f'{{"spec":{{"replicas":{replicas}}}}}'
    await kubectl.run(
        "patch", observed.RESOURCE, name, "--subresource=scale", "--type=merge", "-p", patch
    )


async def _answering(client: SessionClient, dialler: ExecDialler) -> Activity:
    while True:
        try:
            return await client.activity()
        except Refusal as refusal:
            if refusal.status is not Status.UNAVAILABLE:
                raise ClusterError(refusal.message) from refusal
        dialler.check()
        await asyncio.sleep(_AGAIN_SECONDS)


def _is_settled(status: BridgeStatus, failures: int) -> bool:
    """Whether it is awake, failed again, or nobody's any more."""
    return status.phase is BridgePhase.READY or status.failures > failures or status.closed


def _cause(seen: Observed) -> tuple[str, str]:
    return seen.reason, seen.message


def _has_pod(seen: Observed) -> bool:
    return bool(seen.pod_uid) and (seen.phase in _WITH_POD or seen.reason == _FULL)


def _phase_of(seen: Observed) -> BridgePhase:
    return BridgePhase.DRAINING if seen.phase == "Draining" else BridgePhase.READY
