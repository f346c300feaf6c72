"""One look at one bridge: observe, decide purely, carry out, report; level-triggered.

A look reads what is remembered, and asks the API server only for what is not watched (the metadata
of the bridge's Secret, the events of a pod that does not start). It may be cut short between any
two calls: the next look, of this operator or of another, finishes what is left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from repobridge import crd
from repobridge.claims import Verdict
from repobridge.crd import RepoBridge, SpecError
from repobridge.telemetry import Logger
from repobridge_operator import plan as planning
from repobridge_operator import status as statuses
from repobridge_operator.acceptance import verdict_on, verdict_on_error
from repobridge_operator.announce import Announcer
from repobridge_operator.carryout import Carried, CarryOut
from repobridge_operator.cluster import Cluster, Object, Resource
from repobridge_operator.idle import Idle
from repobridge_operator.metrics import Result
from repobridge_operator.observed import BridgeKey, BridgeView, Observed
from repobridge_operator.patience import Patience
from repobridge_operator.plan import Making, Outlook
from repobridge_operator.podevents import PodEvents
from repobridge_operator.podstate import pod_is_finished, pod_is_going, pod_is_running
from repobridge_operator.resizer import Resized, Resizer
from repobridge_operator.resources import naming
from repobridge_operator.resources.amounts import memory_for
from repobridge_operator.rivals import Rivals
from repobridge_operator.sleep_facts import facts_of
from repobridge_operator.sleep_values import Want
from repobridge_operator.statuswrite import make_status, stand_in

_GROWTH_AGAIN_SECONDS = 300.0
_log = Logger("repobridge.operator")


@dataclass(frozen=True, slots=True)
class Looked:
    """How a look ended, and when the clock alone makes another one worth while."""

    result: Result
    again_seconds: float | None = None


class Reconciler:
    """Looks at bridges; `look` may run for several bridges at a time, and for each only once."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        observed: Observed,
        rivals: Rivals,
        idle: Idle,
        resizer: Resizer,
        carry_out: CarryOut,
        announcer: Announcer,
        making: Making,
        told: Callable[[Resource, Object, bool], None],
        now: Callable[[], datetime],
    ) -> None:
        self._cluster = cluster
        self._observed = observed
        self._rivals = rivals
        self._idle = idle
        self._resizer = resizer
        self._carry_out = carry_out
        self._announcer = announcer
        self._making = making
        self._told = told
        self._now = now
        self._pod_events = PodEvents(cluster, now=now)
        self._patience = Patience()

    async def look(self, key: BridgeKey) -> Looked:
        """Brings one bridge forward; raises ClusterError where that has to be tried again."""
        view = self._observed.view(key)
        if view is None:
            self._forget(key)
            return Looked(Result.STABLE)
        if view.bridge["metadata"].get("deletionTimestamp"):
            # What it owns goes with it; a pod made now would be in the way.
            self._idle.observe(key, None)
            return Looked(Result.STABLE)
        try:
            bridge = crd.parse(view.bridge)
        except SpecError as error:
            return await self._refuse(view, error)
        return await self._serve(view, bridge)

    async def _refuse(self, view: BridgeView, error: SpecError) -> Looked:
        """Says what is wrong with a spec; whatever runs by an earlier one is left alone."""
        verdict = verdict_on_error(error)
        seen = statuses.Seen(bridge=stand_in(view.bridge), verdict=verdict, pod=view.pod)
        wrote, again_at = await self._report(seen)
        return self._looked(Result.CHANGED if wrote else Result.STABLE, again_at)

    async def _serve(self, view: BridgeView, bridge: RepoBridge) -> Looked:
        verdict = verdict_on(bridge, channel=self._rivals.verdict(view.key))
        outlook = planning.outlook(
            bridge,
            view.pod,
            is_accepted=verdict.accepted,
            making=self._making,
            deaths=self._carry_out.deaths(bridge.metadata.uid),
        )
        self._tell_idle(view, bridge, outlook)
        if await self._tell_death(view, bridge, verdict, outlook):
            return Looked(Result.CHANGED, again_seconds=0.0)
        carried = await self._act(view, bridge, outlook)
        if carried.is_pod_made:
            self._patience.pod_made(view.key, now=self._now())
        # The answers to our own writes are remembered by now.
        after = self._observed.view(view.key) or view
        resized = await self._resize(after, bridge, outlook)
        seen = await self._seen(after, bridge, verdict, outlook, carried)
        wrote, look_at = await self._report(replace(seen, not_resized=resized.refusal))
        looked = self._looked(_result(carried, wrote), carried.again_at, look_at)
        pauses = (
            looked.again_seconds,
            resized.again_seconds,
            self._events_seconds(after),
            _GROWTH_AGAIN_SECONDS if carried.not_grown else None,
        )
        return replace(
            looked, again_seconds=min((s for s in pauses if s is not None), default=None)
        )

    def _tell_idle(self, view: BridgeView, bridge: RepoBridge, outlook: Outlook) -> None:
        pod = self._living_pod(view)
        facts = facts_of(bridge, pod, want=outlook.want) if pod is not None else None
        self._idle.observe(view.key, facts)

    async def _tell_death(
        self, view: BridgeView, bridge: RepoBridge, verdict: Verdict, outlook: Outlook
    ) -> bool:
        """Says what a pod died of, before it is replaced: nobody knows it once the pod is gone."""
        pod = view.pod
        if pod is None or pod_is_going(pod) or not pod_is_finished(pod) or not outlook.is_awake:
            return False
        wrote, _ = await self._report(await self._seen(view, bridge, verdict, outlook, Carried()))
        return wrote

    async def _act(self, view: BridgeView, bridge: RepoBridge, outlook: Outlook) -> Carried:
        secret = await self._carry_out.secret(view)
        pod = view.pod
        permission = self._idle.permission(view.key, pod["metadata"]["uid"]) if pod else None
        seen = planning.Seen(
            view=view,
            bridge=bridge,
            outlook=outlook,
            secret=secret,
            authority=self._carry_out.authority,
            permission=permission,
            now=self._now(),
        )
        plan = planning.plan(seen, making=self._making)
        carried = await self._carry_out.all(plan.actions, bridge)
        return replace(carried, again_at=plan.again_at)

    async def _resize(self, view: BridgeView, bridge: RepoBridge, outlook: Outlook) -> Resized:
        pod = self._living_pod(view)
        if pod is None or not pod_is_running(pod) or outlook.want is not Want.AWAKE:
            return Resized()
        activity = self._idle.report(view.key, pod["metadata"]["uid"]).activity
        if activity is None:
            return Resized()
        sessions = activity.live_sessions
        wanted = memory_for(bridge, settings=self._making.pod, sessions=sessions)
        return await self._resizer.tend(pod, wanted)

    async def _seen(
        self,
        view: BridgeView,
        bridge: RepoBridge,
        verdict: Verdict,
        outlook: Outlook,
        carried: Carried,
    ) -> statuses.Seen:
        pod, taken = view.pod, carried.taken
        if pod is not None and not naming.belongs_to(bridge.metadata.uid, pod):
            taken, pod = f"Pod {pod['metadata']['name']}", None
        report = self._idle.report(view.key, pod["metadata"]["uid"]) if pod else None
        return statuses.Seen(
            bridge=bridge,
            verdict=verdict,
            pod=pod,
            template_changed=outlook.want is Want.FRESH,
            events=await self._pod_events.of(pod) if pod else (),
            claim=view.claim,
            refusal=carried.refusal,
            not_grown=carried.not_grown,
            taken=taken,
            activity=report.activity if report else None,
            silent=report.silence if report else "",
        )

    async def _report(self, seen: statuses.Seen) -> tuple[bool, datetime | None]:
        """Writes the status where it changes; whether it did, and when the clock changes it."""
        now = self._now()
        standing = statuses.observe(seen, now=now)
        before, metadata = seen.bridge.status, seen.bridge.metadata
        status = make_status(before, standing, now=now)
        key = BridgeKey(metadata.namespace, metadata.name)
        if status is None:
            return False, standing.look_again_at
        held_until = self._patience.until(
            key,
            standing.ready.reason,
            is_answered=seen.activity is not None,
            has_address=standing.endpoint is not None and standing.endpoint != before.endpoint,
            now=now,
        )
        if held_until is not None:
            return False, held_until
        identity = {
            "name": metadata.name,
            "namespace": metadata.namespace,
            "uid": metadata.uid,
        }
        written = await self._cluster.apply(
            Resource.BRIDGE, {"metadata": identity, "status": status}, subresource="status"
        )
        self._told(Resource.BRIDGE, written, False)
        await self._announcer.changed(seen.bridge, standing)
        return True, standing.look_again_at

    def _living_pod(self, view: BridgeView) -> Object | None:
        """The pod, where it is the bridge's own, and neither finished nor going."""
        pod = view.pod
        if pod is None or pod_is_going(pod) or pod_is_finished(pod):
            return None
        return pod if naming.belongs_to(view.bridge["metadata"]["uid"], pod) else None

    def _events_seconds(self, view: BridgeView) -> float | None:
        pod = self._living_pod(view)
        return self._pod_events.again_seconds(pod) if pod else None

    def _looked(self, result: Result, *moments: datetime | None) -> Looked:
        known = [each for each in moments if each is not None]
        if not known:
            return Looked(result)
        return Looked(result, max((min(known) - self._now()) / timedelta(seconds=1), 0.1))

    def _forget(self, key: BridgeKey) -> None:
        self._idle.observe(key, None)
        self._patience.forget(key)
        self._carry_out.forget(key)
        self._announcer.forget(key)


def _result(carried: Carried, wrote: bool) -> Result:
    if carried.refusal is not None or carried.taken:
        return Result.REFUSED
    return Result.CHANGED if wrote or carried.is_changed else Result.STABLE
