"""What a leading operator runs: watches, the queue's workers, the CA's keeper, the way to sleep.

One task group owns every task. Whatever fails in it ends the process, and another operator, or this
one started anew, goes on from what the cluster says.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from kubernetes.aio.client.configuration import Configuration

from repobridge.certificates import CertificateError
from repobridge.telemetry import Logger
from repobridge_operator import handlers
from repobridge_operator.announce import Announcer
from repobridge_operator.carryout import CarryOut
from repobridge_operator.cluster import Cluster, ClusterError, Throttled
from repobridge_operator.handlers import Watching
from repobridge_operator.idle import Idle
from repobridge_operator.intake import Intake
from repobridge_operator.keeper import Keeper
from repobridge_operator.lowering import lower_replicas
from repobridge_operator.metrics import OperatorMetrics, Result
from repobridge_operator.metrics_sleep import SleepMetrics
from repobridge_operator.observed import BridgeKey, Observed
from repobridge_operator.plan import Making
from repobridge_operator.queue import Backoff, KeyedQueue
from repobridge_operator.reconcile import Reconciler
from repobridge_operator.resizer import Resizer
from repobridge_operator.rivals import Rivals
from repobridge_operator.runners import Runners, TlsDialler
from repobridge_operator.settings import OperatorSettings
from repobridge_operator.sleep_values import Lower, Lowering, Now

_START_AGAIN_SECONDS = 2.0
_FINISH_SECONDS = 5.0

_log = Logger("repobridge.operator")


class Engine:
    """Everything that acts; only one of all operators may run it."""

    def __init__(
        self,
        settings: OperatorSettings,
        *,
        configuration: Configuration,
        cluster: Cluster,
        metrics: OperatorMetrics,
        identity: str,
    ) -> None:
        self._settings = settings
        self._configuration = configuration
        self._cluster = cluster
        self._metrics = metrics
        self._observed = Observed()
        self._queue: KeyedQueue[BridgeKey] = KeyedQueue(
            capacity=settings.queue_capacity,
            backoff=Backoff(
                first_seconds=settings.retry_first_seconds, cap_seconds=settings.retry_cap_seconds
            ),
            clock=time.monotonic,
            chance=random.random,
        )
        rivals = Rivals([each.rule() for each in settings.tenancy])
        self._intake = Intake(
            observed=self._observed, rivals=rivals, queue=self._queue, metrics=metrics
        )
        self._keeper = Keeper(cluster, namespace=settings.namespace, now=_now)
        self._idle = Idle(
            runners=Runners(TlsDialler(self._keeper, clock=time.monotonic)),
            lower=self._lower,
            changed=lambda key: self._intake.enqueue([key]),
            metrics=SleepMetrics(metrics.registry),
            clock=lambda: Now(monotonic=time.monotonic(), wall=time.time()),
            chance=random.random,
        )
        self._carry_out = CarryOut(
            cluster=cluster,
            observed=self._observed,
            keeper=self._keeper,
            told=self._intake.told,
            now=_now,
            clock=time.monotonic,
        )
        self._reconciler = Reconciler(
            cluster=cluster,
            observed=self._observed,
            rivals=rivals,
            idle=self._idle,
            resizer=Resizer(cluster, clock=time.monotonic),
            carry_out=self._carry_out,
            announcer=Announcer(cluster, instance=identity, now=_now),
            making=Making(pod=settings.pod, network=settings.network_settings()),
            told=self._intake.told,
            now=_now,
        )
        metrics.watch(self._observed, waiting=lambda: self._queue.waiting)

    async def run(self, stopping: asyncio.Event) -> None:
        """Acts until `stopping` is set; looks under way are finished then, within a few seconds."""
        namespaces = self._settings.namespaces
        watching = Watching(
            namespaces=namespaces,
            watch_seconds=self._settings.watch_seconds,
            silence_seconds=self._settings.watch_silence_seconds,
        )
        async with asyncio.TaskGroup() as tasks:
            acting = tasks.create_task(self._act(tasks, watching), name="engine")
            await stopping.wait()
            acting.cancel()

    async def _act(self, tasks: asyncio.TaskGroup, watching: Watching) -> None:
        await _until_it_works("the CA is not there yet", lambda: self._keeper.step(None))
        await _until_it_works(
            "the bridges can't be listed",
            lambda: self._intake.look(self._cluster, watching.namespaces),
        )
        _log.info("operator leads", bridges=len(self._observed))
        beside = [
            handlers.watch(
                self._configuration,
                watching,
                told=self._intake.told,
                began=self._intake.watches_began,
            ),
            self._intake.look_now_and_then(
                self._cluster, watching.namespaces, seconds=self._settings.resync_seconds
            ),
            self._keeper.run(self._carry_out.holders, changed=self._ca_changed),
            self._idle.run(),
        ]
        running = [tasks.create_task(each) for each in beside]
        try:
            await self._work(tasks)
        finally:
            for task in running:
                task.cancel()

    async def _work(self, tasks: asyncio.TaskGroup) -> None:
        """Hands bridges out, to so many looks at a time."""
        slots = asyncio.Semaphore(self._settings.workers)
        looks: set[asyncio.Task[None]] = set()
        try:
            while True:
                await slots.acquire()
                key = await self._queue.get()
                look = tasks.create_task(self._look(key), name=f"look at {key}")
                looks.add(look)
                look.add_done_callback(looks.discard)
                look.add_done_callback(lambda _: slots.release())
        finally:
            if looks:
                _, late = await asyncio.wait(looks, timeout=_FINISH_SECONDS)
                for look in late:
                    look.cancel()

    async def _look(self, key: BridgeKey) -> None:
        started = time.monotonic()
        result = await self._looked(key)
        self._metrics.reconciled(result, seconds=time.monotonic() - started)

    async def _looked(self, key: BridgeKey) -> Result:
        """Looks at a bridge and gives its key back to the queue; the process ends on LeaseLost."""
        try:
            looked = await self._reconciler.look(key)
        except Throttled as error:
            self._queue.retry_after(key, error.retry_after_seconds)
            return Result.FAILED
        except ClusterError as error:
            seconds = self._queue.retry(key)
            _log.warning("look failed", bridge=str(key), error=str(error), again_seconds=seconds)
            return Result.FAILED
        except (AssertionError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            # A mistake of ours, or an object that no schema allows: other bridges go on.
            seconds = self._queue.retry(key)
            _log.error("look broke", cause=error, bridge=str(key), again_seconds=seconds)
            return Result.BROKEN
        if looked.result is Result.REFUSED:
            self._queue.retry(key)
        else:
            self._queue.done(key, again_after=looked.again_seconds)
        return looked.result

    def _ca_changed(self) -> None:
        self._intake.enqueue(self._observed.keys())

    async def _lower(self, key: BridgeKey, uid: str, lower: Lower) -> Lowering:
        return await lower_replicas(self._cluster, key, bridge_uid=uid, lower=lower)


async def _until_it_works(trouble: str, attempt: Callable[[], Awaitable[object]]) -> None:
    told = ""
    while True:
        try:
            await attempt()
            return
        except (ClusterError, CertificateError) as error:
            if str(error) != told:
                told = str(error)
                _log.error(trouble, error=told)
        await asyncio.sleep(_START_AGAIN_SECONDS)


def _now() -> datetime:
    return datetime.now(UTC)
