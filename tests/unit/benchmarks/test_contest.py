"""A contest asks each way the same, and those whose limits are compared have the same limits."""

from __future__ import annotations

import asyncio

import pytest
from limits.aio.storage import MemoryStorage
from throttled.asyncio import MemoryStore

from benchmarks.contest import contest
from benchmarks.deciders import MOST_MESSAGES, WINDOW, Decide, by_ledger, by_limits, by_throttled
from repobridge_gateway.limits.memory import MemoryLedger


async def test_each_way_is_asked_for_the_same_people_in_turn() -> None:
    asked: list[tuple[str, int]] = []

    def way(name: str) -> Decide:
        async def decide(person: int) -> bool:
            asked.append((name, person))
            return True

        return decide

    found = await contest({"a": way("a"), "b": way("b")}, rounds=2, decisions=2, callers=1)
    assert asked == [
        *[("b", 0), ("b", 1), ("a", 0), ("a", 1)],  # to warm up
        *[("a", 0), ("a", 1), ("b", 0), ("b", 1)],
        *[("b", 0), ("b", 1), ("a", 0), ("a", 1)],
    ]
    assert {name: (len(t.rates), len(t.seconds)) for name, t in found.items()} == {
        "a": (2, 4),
        "b": (2, 4),
    }


async def test_so_many_callers_wait_at_once() -> None:
    together = asyncio.Barrier(5)

    async def decide(person: int) -> bool:
        await together.wait()
        return True

    async with asyncio.timeout(60):
        found = await contest({"a": decide}, rounds=1, decisions=10, callers=5)
    assert len(found["a"].seconds) == 10


async def test_nobody_writes_more_than_there_is_room_for() -> None:
    messages = dict.fromkeys(range(100), 0)

    async def decide(person: int) -> bool:
        messages[person] += 1
        return True

    await contest({"a": decide}, rounds=99, decisions=10, callers=3)
    assert max(messages.values()) <= MOST_MESSAGES


async def test_a_refusal_fails_a_contest() -> None:
    async def decide(person: int) -> bool:
        return person != 3

    with pytest.raises(ExceptionGroup) as failed:
        await contest({"a": decide}, rounds=1, decisions=5, callers=2)
    assert "was refused" in str(failed.value.exceptions[0])


@pytest.mark.parametrize("by", ["ours", "throttled-py", "limits"])
async def test_all_grant_as_much(by: str) -> None:
    ways = {
        "ours": by_ledger(MemoryLedger(), [WINDOW]),
        "throttled-py": by_throttled(MemoryStore(), [WINDOW]),
        "limits": by_limits(MemoryStorage(), [WINDOW]),
    }
    granted = [await ways[by](person) for _ in range(70) for person in (1, 2)]
    assert granted == [True] * 120 + [False] * 20
