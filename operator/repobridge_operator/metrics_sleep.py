"""What the way to sleep counts; labels come from small fixed sets."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from repobridge.idle import Drained
from repobridge_operator.sleep_values import (
    Action,
    Answer,
    Ask,
    Drain,
    Ground,
    Interrupt,
    Lower,
    Lowering,
    Resume,
    Unreached,
)

_ACTIONS: dict[type[Action], str] = {
    Ask: "activity",
    Drain: "drain",
    Interrupt: "interrupt",
    Resume: "resume",
    Lower: "lower",
}


class SleepMetrics:
    """Calls to runners, permissions to delete, and how many runners are looked after."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._actions = Counter(
            "repobridge_operator_sleep_actions",
            "What was done on the way to sleep, by action and outcome.",
            ["action", "outcome"],
            registry=registry,
        )
        self._permissions = Counter(
            "repobridge_operator_sleep_permissions",
            "Pods that may be deleted, by the reason why nothing is lost.",
            ["ground"],
            registry=registry,
        )
        self._watched = Gauge(
            "repobridge_operator_watched_runners",
            "Runners that are asked for their activity.",
            registry=registry,
        )
        for ground in Ground:
            self._permissions.labels(ground.value)

    def acted(self, action: Action, answer: Answer) -> None:
        """Counts an action and its outcome."""
        self._actions.labels(_ACTIONS[type(action)], _outcome(answer)).inc()

    def permitted(self, ground: Ground) -> None:
        """Counts a pod that may be deleted."""
        self._permissions.labels(ground.value).inc()

    def watches(self, runners: int) -> None:
        """Says how many runners are looked after."""
        self._watched.set(runners)


def _outcome(answer: Answer) -> str:
    match answer:
        case Unreached():
            return "unreached"
        case Lowering():
            return answer.value.lower()
        case Drained(is_granted=True):
            return "granted"
        case Drained():
            return "busy"
    return "ok"
