"""Looks after the awake runners: asks each in its time, and takes each to sleep step by step.

What is to be done is decided in `sleep`; this does it, a bounded number of calls at a time and one
for each pod, and tells the reconciler when a pod may be deleted. Everything here is in memory: a
new operator asks again.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from repobridge.errors import Refusal
from repobridge.idle import Activity
from repobridge.session.calls import RunnerCalls
from repobridge.telemetry import Logger
from repobridge_operator.metrics_sleep import SleepMetrics
from repobridge_operator.observed import BridgeKey
from repobridge_operator.runners import Place, Runners
from repobridge_operator.sleep import (
    LEASE_SECONDS,
    Phase,
    Sleep,
    answered,
    begun,
    next_action,
    observed,
    permission,
)
from repobridge_operator.sleep_values import (
    Action,
    Answer,
    Ask,
    Drain,
    Facts,
    Interrupt,
    Interrupted,
    Lower,
    Lowering,
    Now,
    Permission,
    Resume,
    Resumed,
    Unreached,
    Wait,
)

CALLS_AT_ONCE = 128
_SILENT_FAILURES = 3
_JITTER = 0.1
_REST_SECONDS = 5.0
"""A runner that is not asked for so long costs no connection."""
_NEVER = float("inf")
_log = Logger("repobridge.operator")

LowerReplicas = Callable[[BridgeKey, str, Lower], Awaitable[Lowering]]
"""Lowers the wish of a bridge, by its key and UID."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerReport:
    """What a pod's runner last said of itself."""

    activity: Activity | None = None
    silence: str = ""
    """Why it does not answer; empty while it does."""


class _Charge:
    """One pod that is looked after."""

    def __init__(self, facts: Facts, now: Now) -> None:
        self.facts = facts
        self.sleep = observed(Sleep(), facts, before=None, now=now)
        self.activity: Activity | None = None
        self.silence = ""
        self.is_under_way = False
        self.due = _NEVER
        self.permitted: Permission | None = None

    @property
    def place(self) -> Place:
        facts = self.facts
        return Place(facts.bridge_uid, facts.pod_uid, facts.address, facts.port)


class Idle:
    """Every awake pod, and the task that looks after them."""

    def __init__(
        self,
        *,
        runners: Runners,
        lower: LowerReplicas,
        changed: Callable[[BridgeKey], None],
        metrics: SleepMetrics,
        clock: Callable[[], Now],
        chance: Callable[[], float],
    ) -> None:
        """`changed` is told a bridge whose pod may be deleted, or whose runner says something new;
        `chance` gives numbers from 0 to 1, to spread the calls.
        """
        self._runners = runners
        self._lower = lower
        self._changed = changed
        self._metrics = metrics
        self._clock = clock
        self._chance = chance
        self._charges: dict[BridgeKey, _Charge] = {}
        self._due: list[tuple[float, int, BridgeKey]] = []
        self._count = itertools.count()
        self._news = asyncio.Event()
        self._slots = asyncio.Semaphore(CALLS_AT_ONCE)

    # ------------------------------------------------------ the reconciler's

    def observe(self, key: BridgeKey, facts: Facts | None) -> None:
        """Takes what the cluster says of a bridge's pod; None when there is none, or it ends."""
        charge, now = self._charges.get(key), self._clock()
        if charge is not None and (facts is None or facts.pod_uid != charge.facts.pod_uid):
            del self._charges[key]
            self._runners.forget(charge.facts.pod_uid)
            charge = None
        if charge is None and facts is not None:
            charge = self._charges[key] = _Charge(facts, now)
        elif charge is not None and facts is not None:
            before, charge.facts = charge.facts, facts
            if before.is_starting_up and not facts.is_starting_up and not charge.is_under_way:
                # Refused while nobody listened, its channel would wait before it tries again.
                self._runners.forget(facts.pod_uid)
            charge.sleep = observed(charge.sleep, facts, before=before, now=now)
        if charge is not None:
            self._note_permission(key, charge, now, is_told=False)
            self._schedule(key, charge, now)
        self._metrics.watches(len(self._charges))

    def permission(self, key: BridgeKey, pod_uid: str) -> Permission | None:
        """Leave to delete this pod now, if there is."""
        charge = self._charges.get(key)
        if charge is None or charge.facts.pod_uid != pod_uid:
            return None
        return permission(charge.sleep, charge.facts, self._clock())

    def report(self, key: BridgeKey, pod_uid: str) -> RunnerReport:
        """What the pod's runner last said."""
        charge = self._charges.get(key)
        if charge is None or charge.facts.pod_uid != pod_uid:
            return RunnerReport()
        silent = charge.sleep.failures >= _SILENT_FAILURES
        return RunnerReport(activity=charge.activity, silence=charge.silence if silent else "")

    # --------------------------------------------------------------- the task

    async def run(self) -> None:
        """Looks after the pods until it is cancelled."""
        try:
            async with asyncio.TaskGroup() as calls:
                while True:
                    key = await self._next()
                    charge = self._charges[key]
                    charge.is_under_way, charge.due = True, _NEVER
                    await self._slots.acquire()
                    calls.create_task(self._act(key, charge), name=f"runner of {key}")
        finally:
            await self._runners.close()

    async def _next(self) -> BridgeKey:
        """The next pod for which something is due."""
        while True:
            self._news.clear()
            now = self._clock().monotonic
            while self._due and (self._is_stale(self._due[0]) or self._due[0][0] <= now):
                entry = heapq.heappop(self._due)
                if not self._is_stale(entry):
                    return entry[2]
            delay = self._due[0][0] - now if self._due else None
            try:
                async with asyncio.timeout(delay):
                    await self._news.wait()
            except TimeoutError:
                pass

    def _is_stale(self, entry: tuple[float, int, BridgeKey]) -> bool:
        due, _, key = entry
        charge = self._charges.get(key)
        return charge is None or charge.is_under_way or charge.due != due

    def _schedule(self, key: BridgeKey, charge: _Charge, now: Now) -> None:
        if charge.is_under_way:
            return  # it is looked at again when the answer is there
        step = next_action(charge.sleep, charge.facts, now)
        wait = step.seconds if isinstance(step, Wait) else 0.0
        if wait > _REST_SECONDS and charge.sleep.phase is Phase.WATCHED:
            self._runners.forget(charge.facts.pod_uid)
        due = now.monotonic + wait * (1 + _JITTER * self._chance())
        if due < charge.due:  # too early does no harm, and a second entry would
            charge.due = due
            heapq.heappush(self._due, (due, next(self._count), key))
            self._news.set()

    async def _act(self, key: BridgeKey, charge: _Charge) -> None:
        try:
            action = next_action(charge.sleep, charge.facts, self._clock())
            if not isinstance(action, Wait):
                await self._do(key, charge, action)
        finally:
            self._slots.release()
            charge.is_under_way = False
        if self._charges.get(key) is charge:
            now = self._clock()
            self._note_permission(key, charge, now, is_told=True)
            self._schedule(key, charge, now)

    async def _do(self, key: BridgeKey, charge: _Charge, action: Action) -> None:
        phase, charge.sleep = charge.sleep.phase, begun(charge.sleep, action)
        asked_at = self._clock().monotonic
        before = self.report(key, charge.facts.pod_uid)
        answer = await self._answer(key, charge, action)
        self._metrics.acted(action, answer)
        charge.sleep = answered(
            charge.sleep, charge.facts, action, answer, asked_at=asked_at, now=self._clock()
        )
        if isinstance(answer, Activity):
            charge.activity = answer
        charge.silence = answer.reason if isinstance(answer, Unreached) else ""
        _tell_step(key, charge, action, before=phase)
        if self.report(key, charge.facts.pod_uid) != before:
            self._changed(key)

    async def _answer(self, key: BridgeKey, charge: _Charge, action: Action) -> Answer:
        facts, place = charge.facts, charge.place
        try:
            if isinstance(action, Lower):
                return await self._lower(key, facts.bridge_uid, action)
            if not place.address:
                return Unreached("Its address is not known yet.")
            if isinstance(action, Interrupt):
                return Interrupted(await self._runners.interrupt_turns(place))
            return await _call(self._runners.calls(place), action, facts)
        except Refusal as refusal:
            return Unreached(str(refusal))
        except Exception as error:  # of one bridge: the others are looked after all the same
            _log.error("runner not looked after", cause=error, bridge=str(key))
            return Unreached(f"{type(error).__name__}: {error}")

    def _note_permission(self, key: BridgeKey, charge: _Charge, now: Now, *, is_told: bool) -> None:
        before = charge.permitted
        charge.permitted = found = permission(charge.sleep, charge.facts, now)
        if found is None or (before is not None and before.ground is found.ground):
            return
        self._metrics.permitted(found.ground)
        _log.info("pod may be deleted", bridge=str(key), ground=found.ground)
        if is_told:
            self._changed(key)


def _tell_step(key: BridgeKey, charge: _Charge, action: Action, *, before: Phase) -> None:
    sleep, bridge, name = charge.sleep, str(key), type(action).__name__
    if sleep.phase is before and not isinstance(action, Interrupt):
        _log.debug("runner asked", bridge=bridge, action=name, error=charge.silence)
        return
    _log.info(
        "on the way to sleep",
        bridge=bridge,
        action=name,
        phase=sleep.phase,
        reason=sleep.reason,
        error=charge.silence,
    )


async def _call(calls: RunnerCalls, action: Ask | Drain | Resume, facts: Facts) -> Answer:
    idle_seconds = facts.policy.idle_seconds
    # The same for every operator, so that one that is new renews what another began.
    drain_id = f"operator-{facts.pod_uid}"
    match action:
        case Ask():
            return await calls.activity(terminal_idle_seconds=idle_seconds)
        case Drain(after_turn=after_turn):
            return await calls.drain(
                drain_id,
                after_turn=after_turn,
                lease_seconds=LEASE_SECONDS,
                terminal_idle_seconds=idle_seconds,
            )
        case Resume():
            await calls.resume(drain_id)
            return Resumed()
