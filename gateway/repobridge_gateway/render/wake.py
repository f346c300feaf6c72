"""How a sleeping bridge wakes, as one message: each step with its seconds, or what went wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from repobridge.conditions import Reason
from repobridge.session import events as ev
from repobridge_gateway.lines import one_line
from repobridge_gateway.render import wording
from repobridge_gateway.render.inline import inert
from repobridge_gateway.render.measure import shortened
from repobridge_gateway.render.pieces import Piece

_DETAIL_UNITS = 200
_FAILURE_UNITS = 1500


class WakeStage(Enum):
    """The steps, in their order."""

    SCHEDULING = "scheduling"
    PULLING = "pulling the image"
    CLONING = "cloning"
    STARTING = "starting"


_OF_REASON = {
    Reason.SCHEDULING: WakeStage.SCHEDULING,
    Reason.PULLING_IMAGE: WakeStage.PULLING,
    Reason.STARTING: WakeStage.STARTING,
    Reason.CLONING: WakeStage.CLONING,
}
_OF_PHASE = {
    ev.Phase.CLONING: WakeStage.CLONING,
    ev.Phase.FETCHING: WakeStage.CLONING,
    ev.Phase.WORKTREE: WakeStage.STARTING,
    ev.Phase.STARTING: WakeStage.STARTING,
    ev.Phase.RESUMING: WakeStage.STARTING,
}


@dataclass(frozen=True, slots=True)
class Wake:
    """A wake so far; `at` and `failed` give the next."""

    started_at: float
    entered: tuple[tuple[WakeStage, float], ...] = ()
    """Each stage that was reached, and when, in the order in which that was."""
    detail: str = ""
    failure: str = ""
    """A sentence that says what is wrong and what to do; empty: nothing is."""
    stages: tuple[WakeStage, ...] = tuple(WakeStage)
    """Those that there are: one machine has nothing to schedule or to pull."""

    def at(self, stage: WakeStage, now: float, *, detail: str = "") -> Wake:
        """The wake in a stage; one that goes on keeps its time, and nothing is wrong any more."""
        before = tuple((each, since) for each, since in self.entered if each is not stage)
        is_present = bool(self.entered) and self.entered[-1][0] is stage
        entered = self.entered if is_present else (*before, (stage, now))
        return replace(self, entered=entered, detail=detail, failure="")

    def failed(self, sentence: str) -> Wake:
        """The wake that does not come on."""
        return replace(self, failure=sentence)


def stage_of(told: Reason | ev.Phase) -> WakeStage | None:
    """The stage that a condition's reason or a runner's phase is part of, where it is of one."""
    return _OF_PHASE.get(told) if isinstance(told, ev.Phase) else _OF_REASON.get(told)


def render_wake(wake: Wake, now: float) -> Piece:
    """The message while nobody can answer yet."""
    took = wording.elapsed(round(now - wake.started_at))
    steps = " → ".join(_step(wake, stage, now) for stage in wake.stages)
    if wake.failure:
        why = inert(shortened(" ".join(wake.failure.split()), _FAILURE_UNITS))
        head = f"{wording.NOTICED} This repository's session can't start yet ({took})."
        rest = "-# Your message is kept, and runs as soon as that is mended."
        return Piece(f"{head}\n{why}\n-# {steps}\n{rest}")
    detail = inert(shortened(one_line(wake.detail), _DETAIL_UNITS))
    lines = [f"{wording.WORKING} Waking up · {took}", f"-# {steps}"]
    return Piece("\n".join([*lines, f"-# {detail}"] if detail else lines))


def _step(wake: Wake, stage: WakeStage, now: float) -> str:
    since = dict(wake.entered)
    order = list(WakeStage)
    current = wake.entered[-1][0] if wake.entered else None
    if stage is current:
        mark = wording.FAILED if wake.failure else wording.RUNNING
        return f"{mark} {stage.value} {wording.elapsed(round(now - since[stage]))}"
    is_past = current is not None and order.index(stage) < order.index(current)
    if not is_past:
        return stage.value
    if stage not in since:
        return f"{wording.DONE} {stage.value}"
    later = [at for at in since.values() if at > since[stage]]
    return f"{wording.DONE} {stage.value} {wording.elapsed(round(min(later) - since[stage]))}"
