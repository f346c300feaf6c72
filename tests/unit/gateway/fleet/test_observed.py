from __future__ import annotations

from typing import Any

import pytest

from repobridge_gateway.fleet.observed import read


def bridge(*, spec: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    """A bridge that is wished awake, in its second generation."""
    return {
        "metadata": {"name": "payments", "generation": 2},
        "spec": {"replicas": 1, **(spec or {})},
        "status": {"phase": "Asleep", "observedGeneration": 1, **status},
    }


def test_a_wish_that_the_operator_has_not_looked_at_awaits_it() -> None:
    assert read(bridge()).awaits_operator
    assert read({**bridge(), "status": {}}).awaits_operator  # the operator never saw it


@pytest.mark.parametrize(
    "taken_up",
    [
        bridge(spec={"replicas": 0}),
        bridge(spec={"suspend": True}),
        bridge(observedGeneration=2),
        bridge(phase="Waking"),
        bridge(phase="Draining"),
        bridge(conditions=[{"type": "Accepted", "status": "False", "message": "Not yours."}]),
    ],
    ids=["no wish", "suspended", "looked at", "on its way", "still there", "refused"],
)
def test_what_is_no_wish_or_was_looked_at_awaits_nobody(taken_up: dict[str, Any]) -> None:
    assert not read(taken_up).awaits_operator
