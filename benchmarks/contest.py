"""Several ways to decide the same, asked in turn by as many callers, round by round."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.deciders import MOST_MESSAGES, Decide
from benchmarks.measure import Samples

_WARM_UP = 1


@dataclass(slots=True)
class Tally:
    """What one way came to."""

    rates: list[float] = field(default_factory=list)
    """Decisions a second, of each round."""
    seconds: list[float] = field(default_factory=list)
    """How long each caller waited for each decision."""

    @property
    def rate(self) -> Samples:
        """The rates."""
        return Samples(tuple(self.rates))

    @property
    def latency(self) -> Samples:
        """The waits."""
        return Samples(tuple(self.seconds))


async def contest(
    ways: Mapping[str, Decide], *, rounds: int, decisions: int, callers: int
) -> Mapping[str, Tally]:
    """What each way came to; each is the first in its turn, and the first round does not count.

    Raises RuntimeError when one refuses: nobody writes more than there is room for.
    """
    names = list(ways)
    tallies = {name: Tally() for name in names}
    people = max(decisions, (rounds + _WARM_UP) * decisions // MOST_MESSAGES + 1)
    for number in range(-_WARM_UP, rounds):
        first = (number + _WARM_UP) * decisions
        crowd = [(first + step) % people for step in range(decisions)]
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            tally = Tally() if number < 0 else tallies[name]
            await _round(ways[name], crowd, callers=callers, tally=tally)
    return tallies


async def _round(decide: Decide, crowd: Sequence[int], *, callers: int, tally: Tally) -> None:
    people = iter(crowd)

    async def caller() -> None:
        for person in people:
            asked = time.perf_counter()
            if not await decide(person):
                raise RuntimeError("a message was refused that there was room for")
            tally.seconds.append(time.perf_counter() - asked)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(caller())
    tally.rates.append(len(crowd) / (time.perf_counter() - began))
