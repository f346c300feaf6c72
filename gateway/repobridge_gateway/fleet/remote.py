"""A bridge whose runner is a pod that an operator starts and ends: wished for, followed, dialled.

How the wish is said and the pod is reached is a `Reach`'s business: through kubectl for a person,
through the API and mutual TLS for the gateway.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Protocol

import grpc

from repobridge.conditions import Phase, Reason
from repobridge.errors import Refusal, Status
from repobridge.session.events import Cursor
from repobridge.telemetry import Logger
from repobridge_gateway.fleet.observed import ASLEEP, ClusterError, Observed
from repobridge_gateway.fleet.status import BridgePhase, BridgeStatus, RunnerLink
from repobridge_gateway.notices import GatewayNotice, NoticeBoard, NoticeCode
from repobridge_gateway.session_client import SessionClient
from repobridge_gateway.watched import Watched

_PASSING = frozenset({BridgePhase.FAILED, BridgePhase.DRAINING})
MENDING_SECONDS = 45.0
"""How long a cause that passes, or was there before we asked, may take to be gone: a kubelet looks
for a Secret that was missing every half a minute or so."""
DRAINING_SECONDS = 35.0
"""A drain that nobody renews is over by then, whatever is said of it where no operator is there."""
ANSWERING_SECONDS = 15.0
"""A wish that no operator takes up for so long is told of: most are taken up at once."""
_UNANSWERED = (
    "No operator has taken this up yet. Whoever looks after the cluster sees whether it runs with:"
    " kubectl get pods -A -l app.kubernetes.io/name=repobridge"
)
_log = Logger(__name__)


class Line(Protocol):
    """A way to one pod."""

    @property
    def channel(self) -> grpc.aio.Channel:
        """It connects when it is used."""

    async def check(self, refusal: Refusal, client: SessionClient) -> None:
        """Called after each try that failed; raises ClusterError where no other can succeed."""

    async def verify(self, client: SessionClient) -> None:
        """Called once the runner answers; raises ClusterError where it is not the bridge's."""

    async def outlived(self) -> None:
        """Returns once the same pod is to be dialled anew; for most, never."""


class Reach(Protocol):
    """How a cluster is told and reached."""

    @property
    def again_seconds(self) -> float:
        """How long to wait before a pod that did not answer is asked again."""

    async def wish(self, name: str, replicas: int) -> None:
        """Wishes a bridge awake (1) or asleep (0); raises ClusterError, or a Refusal where that
        may pass.
        """

    def opened(self, seen: Observed) -> AbstractAsyncContextManager[Line]:
        """A way to the pod that a bridge has; raises ClusterError."""


class RemoteBridge:
    """One RepoBridge: told what the cluster says by `see`, kept current by `run`."""

    def __init__(
        self,
        reach: Reach,
        first: Observed,
        *,
        mending_seconds: float = MENDING_SECONDS,
        draining_seconds: float = DRAINING_SECONDS,
        reaching_seconds: float = float("inf"),
        answering_seconds: float = ANSWERING_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """A pod that does not answer for `reaching_seconds` is told of as a failure, an operator
        that does not for `answering_seconds` while the wake goes on.
        """
        self.board = NoticeBoard()
        self.status = Watched(BridgeStatus(BridgePhase.ASLEEP))
        self._reach = reach
        self._object = Watched(first)
        self._mending_seconds = mending_seconds
        self._draining_seconds = draining_seconds
        self._reaching_seconds = reaching_seconds
        self._answering_seconds = answering_seconds
        self._clock = clock
        self._waiting = 0
        self._told = _cause(first) if first.phase == Phase.FAILED else ("", "")

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
        _refuse_what_stays_asleep(seen)
        if self.status.value.closed:
            raise self._refusal()
        self._waiting += 1
        try:
            if seen.wish == 0:
                await self._reach.wish(self.name, 1)
            status = await self._settled(seen, failures)
        finally:
            self._waiting -= 1
        if status.link is None:
            _refuse_what_stays_asleep(self._object.value)
            raise self._refusal()
        return status.link

    def _refusal(self) -> Refusal:
        status = self.status.value
        reason = "CLUSTER_LOST" if status.closed else "WAKE_FAILED"
        return Refusal(Status.UNAVAILABLE, reason, status.reason)

    async def sleep(self) -> None:
        """Has it sleep as soon as its turn ends; raises a Refusal, or ClusterError."""
        await self._reach.wish(self.name, 0)

    def accepted(self, message_id: str) -> None:
        """The operator keeps it awake while it has work: nothing is to be remembered here."""

    def see(self, seen: Observed) -> None:
        """Takes what the cluster says of it now."""
        self._object.set(seen)
        now, before = _cause(seen), self._told
        self._told = now
        link = self.status.value.link
        if link is not None:
            self._set(_phase_of(seen), link=link)
        elif self._waiting and (seen.is_suspended or seen.refusal):
            self.failed(seen.refusal or _suspended(seen))
        elif now == before:
            return
        elif seen.phase == Phase.FAILED:
            self._set(BridgePhase.FAILED, reason=seen.message, failed=not seen.passes)
            self._post(NoticeCode.WAKE_FAILED, f"{seen.reason}: {seen.message}")
        elif seen.phase == Phase.WAKING:
            self._set(BridgePhase.WAKING, reason=seen.message, step=seen.step, detail=seen.detail)
            self._post(NoticeCode.WAKING, f"Waking {self.name}: {seen.message}")
        elif seen.phase in ASLEEP:
            self._set(BridgePhase.ASLEEP)

    def failed(self, sentence: str, *, closed: bool = False) -> None:
        """Tells everybody who waits that it is not coming; `closed`: and never will."""
        self._set(BridgePhase.FAILED, reason=sentence, failed=True, closed=closed)

    async def run(self) -> None:
        """Keeps the wish and the link until it is cancelled; raises ClusterError."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_asking())
                group.create_task(self._keep_telling())
                group.create_task(self._keep_linked())
        except* ClusterError as errors:
            raise errors.exceptions[0] from None
        finally:
            if self.status.value.link is not None:
                self._set(BridgePhase.ASLEEP)

    # --------------------------------------------------------------- wishing

    async def _keep_asking(self) -> None:
        """Level-triggered: a wish that somebody took back is made anew while anyone waits."""
        seen = self._object.value
        while True:
            seen = await self._after(seen)
            if not self._waiting or seen.wish or seen.is_suspended or seen.refusal:
                continue
            try:
                await self._reach.wish(self.name, 1)
            except Refusal as refusal:
                _log.warning("wish not taken", bridge=self.name, error=str(refusal))

    async def _keep_telling(self) -> None:
        """Says so where nobody is there who would take a wish up."""
        while True:
            await self._object.until(lambda now: now.awaits_operator)
            try:
                async with asyncio.timeout(self._answering_seconds):
                    await self._object.until(lambda now: not now.awaits_operator)
            except TimeoutError:
                self._set(
                    BridgePhase.WAKING,
                    reason=_UNANSWERED,
                    step=Reason.SCHEDULING,
                    detail=_UNANSWERED,
                )
                self._post(NoticeCode.WAKING, _UNANSWERED)
                seen = await self._object.until(lambda now: not now.awaits_operator)
                if seen.phase in ASLEEP:
                    self._set(BridgePhase.ASLEEP)

    async def _after(self, seen: Observed) -> Observed:
        return await self._object.until(lambda now: now is not seen)

    async def _settled(self, asked: Observed, failures: int) -> BridgeStatus:
        """Waits until it is awake or has failed; what was wrong before is no failure yet."""
        if asked.phase == Phase.FAILED:
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
                self.failed(failed.message)
                self._post(NoticeCode.WAKE_FAILED, f"{self.name} still can't start.")

    # --------------------------------------------------------------- talking

    async def _keep_linked(self) -> None:
        while True:
            seen = await self._object.until(lambda o: o.has_pod)
            is_again = await self._linked(seen)
            self._set(BridgePhase.WAKING if is_again else BridgePhase.ASLEEP)

    async def _linked(self, seen: Observed) -> bool:
        """Talks to one pod as long as it is the bridge's; True where it is to be dialled anew."""
        async with self._reach.opened(seen) as line:
            client = SessionClient(line.channel)
            other = asyncio.ensure_future(self._object.until(lambda now: _is_other(now, seen)))
            answering = asyncio.ensure_future(self._answering(line, client))
            outlived = asyncio.ensure_future(line.outlived())
            tasks = (other, answering, outlived)
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if not answering.done():
                    return outlived.done() and not other.done()
                newest = answering.result()
                link = RunnerLink(client, line.channel, newest)
                self._set(_phase_of(self._object.value), link=link)
                self._post(NoticeCode.READY, f"{self.name} is awake.")
                await asyncio.wait((other, outlived), return_when=asyncio.FIRST_COMPLETED)
                if not other.done():
                    return True
                self._post(NoticeCode.IDLE_TIMEOUT, f"{self.name} sleeps, or gets another pod.")
                return False
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _answering(self, line: Line, client: SessionClient) -> Cursor:
        """The end of the runner's log, once it answers."""
        silent_since = self._clock()
        while True:
            try:
                activity = await client.activity()
                await line.verify(client)
                return Cursor(activity.log_id, activity.last_sequence)
            except Refusal as refusal:
                if refusal.status is not Status.UNAVAILABLE:
                    raise ClusterError(refusal.message) from refusal
                await line.check(refusal, client)
                if self._clock() - silent_since >= self._reaching_seconds:
                    silent_since = self._clock()
                    self.failed(f"{self.name} runs, but can't be reached: {refusal.message}")
            await asyncio.sleep(self._reach.again_seconds)

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
        step: Reason | None = None,
        detail: str = "",
    ) -> None:
        failures = self.status.value.failures + failed
        self.status.set(BridgeStatus(phase, reason, link, failures, closed, step, detail))


def _is_settled(status: BridgeStatus, failures: int) -> bool:
    """Whether it is awake, failed again, or nobody's any more."""
    return status.phase is BridgePhase.READY or status.failures > failures or status.closed


def _is_other(now: Observed, seen: Observed) -> bool:
    """Whether what was dialled is no longer the bridge's pod."""
    return not now.has_pod or (now.pod_uid, now.address, now.port) != (
        seen.pod_uid,
        seen.address,
        seen.port,
    )


def _refuse_what_stays_asleep(seen: Observed) -> None:
    if seen.is_suspended:
        raise Refusal(Status.FAILED_PRECONDITION, "SUSPENDED", _suspended(seen))
    if seen.refusal:
        raise Refusal(Status.FAILED_PRECONDITION, "NOT_ACCEPTED", seen.refusal)


def _suspended(seen: Observed) -> str:
    return f"{seen.name} is suspended; it goes on once spec.suspend is false."


def _cause(seen: Observed) -> tuple[str, str]:
    return seen.reason, seen.message


def _phase_of(seen: Observed) -> BridgePhase:
    return BridgePhase.DRAINING if seen.phase == Phase.DRAINING else BridgePhase.READY
