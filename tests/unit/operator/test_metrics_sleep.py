"""What the way to sleep counts."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from repobridge.idle import Activity, Drained
from repobridge_operator.metrics_sleep import SleepMetrics
from repobridge_operator.sleep_values import (
    Action,
    Answer,
    Ask,
    Drain,
    Ground,
    Interrupt,
    Interrupted,
    Lower,
    Lowering,
    Resume,
    Resumed,
    Unreached,
)


@pytest.mark.parametrize(
    ("action", "answer", "expected"),
    [
        (Ask(), Activity(), ("activity", "ok")),
        (Ask(), Unreached("NO_ANSWER"), ("activity", "unreached")),
        (Drain(after_turn=True), Drained(is_granted=True, is_held=True), ("drain", "granted")),
        (Drain(after_turn=True), Drained(is_granted=False, is_held=True), ("drain", "busy")),
        (Interrupt(), Interrupted(2), ("interrupt", "ok")),
        (Resume(), Resumed(), ("resume", "ok")),
        (Lower("1", 1), Lowering.DONE, ("lower", "done")),
        (Lower("1", 1), Lowering.OVERTAKEN, ("lower", "overtaken")),
        (Lower("1", 1), Lowering.FAILED, ("lower", "failed")),
    ],
)
def test_each_action_is_counted_by_its_outcome(
    action: Action, answer: Answer, expected: tuple[str, str]
) -> None:
    registry = CollectorRegistry()
    SleepMetrics(registry).acted(action, answer)
    labels = dict(zip(("action", "outcome"), expected, strict=True))
    assert registry.get_sample_value("repobridge_operator_sleep_actions_total", labels) == 1


@pytest.mark.parametrize("ground", Ground)
def test_every_ground_is_there_from_the_start(ground: Ground) -> None:
    registry = CollectorRegistry()
    metrics = SleepMetrics(registry)
    name, labels = "repobridge_operator_sleep_permissions_total", {"ground": ground.value}
    assert registry.get_sample_value(name, labels) == 0
    metrics.permitted(ground)
    assert registry.get_sample_value(name, labels) == 1


def test_how_many_runners_are_looked_after_is_a_gauge() -> None:
    registry = CollectorRegistry()
    metrics = SleepMetrics(registry)
    metrics.watches(7)
    metrics.watches(5)
    assert registry.get_sample_value("repobridge_operator_watched_runners") == 5
