"""Memory follows the live sessions within the spec's bounds; other amounts are as the spec says."""

from __future__ import annotations

from typing import Any

import pytest

from repobridge_operator.resources.amounts import Memory, make_resources, memory_for
from repobridge_operator.resources.podsettings import GIB, MIB
from tests.unit.operator.bridges import SETTINGS, bridge


@pytest.mark.parametrize(
    ("sessions", "request_mib"),
    [(0, 856), (1, 856), (2, 1456), (4, 2656), (9, 2656)],
)
def test_what_is_reserved_follows_the_sessions(sessions: int, request_mib: int) -> None:
    found = memory_for(bridge(), settings=SETTINGS, sessions=sessions)
    assert found == Memory(request=request_mib * MIB, limit=2656 * MIB)


@pytest.mark.parametrize(
    ("resources", "sessions", "expected"),
    [
        ({"limits": {"memory": "1Gi"}}, 4, Memory(request=GIB, limit=GIB)),
        ({"limits": {"memory": "500Mi"}}, 1, Memory(request=500 * MIB, limit=500 * MIB)),
        ({"requests": {"memory": "2Gi"}}, 1, Memory(request=2 * GIB, limit=2656 * MIB)),
        ({"requests": {"memory": "2Gi"}}, 4, Memory(request=2656 * MIB, limit=2656 * MIB)),
        ({"requests": {"memory": "8Gi"}}, 1, Memory(request=8 * GIB, limit=8 * GIB)),
        (
            {"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi"}},
            2,
            Memory(request=1456 * MIB, limit=2 * GIB),
        ),
    ],
)
def test_memory_keeps_to_what_the_spec_allows(
    resources: dict[str, Any], sessions: int, expected: Memory
) -> None:
    one = bridge({"resources": resources})
    assert memory_for(one, settings=SETTINGS, sessions=sessions) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {},
            {
                "requests": {"cpu": "250m", "ephemeral-storage": "256Mi", "memory": "856Mi"},
                "limits": {"ephemeral-storage": "4Gi", "memory": "2656Mi"},
            },
        ),
        (
            {"limits": {"cpu": "100m", "ephemeral-storage": "128Mi"}},
            {
                "requests": {"cpu": "100m", "ephemeral-storage": "128Mi", "memory": "856Mi"},
                "limits": {"cpu": "100m", "ephemeral-storage": "128Mi", "memory": "2656Mi"},
            },
        ),
        (
            {"requests": {"ephemeral-storage": "8Gi"}},
            {
                "requests": {"cpu": "250m", "ephemeral-storage": "8Gi", "memory": "856Mi"},
                "limits": {"ephemeral-storage": "8Gi", "memory": "2656Mi"},
            },
        ),
    ],
)
def test_a_default_gives_way_to_the_spec(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert make_resources(bridge({"resources": given}), settings=SETTINGS) == expected
