"""From a wish to an agent at its prompt on a real node, beside the same steps by hand.

By hand means: a bare pod of the same image with the same resources, and once the API server says
that it runs, the bare CLI in it. Where a wake has a step that a bare pod does not have, it stands
beside the step before it.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.bare_pod import Bare, bare_pod
from benchmarks.benchmark import Benchmark, Setting
from benchmarks.measure import Pairs, Samples
from benchmarks.node import Node, node
from benchmarks.result import MILLISECONDS, Comparison, Goal, Row, at_most
from benchmarks.woken import Wake, make_asleep, put_to_sleep, wake
from tests.apiserver.rest import Object

_MANY = 10
_CPU = "150m"
"""Ten bridges and the operator fit on two cores."""
_PAIRS_A_WAKE = 5  # a wake is dear
_WAKES_A_ROUND = 3  # ten at once are dearer
_ALONE_SECONDS = 150.0
_MANY_SECONDS = 120.0
_BOUND_SECONDS = 360.0
_KUBELET_SECONDS = 1.0
"""How often the kubelet looks for what has changed in its containers."""
_MADE = "a bare pod made"
_PLACED = "a bare pod placed"
_BEGAN = "a bare pod's process"
_TOLD = "a bare pod told to run"
_READY = "a bare pod told to run + the bare CLI"


@dataclass(slots=True)
class _Taken:
    """The wakes and, in the same order, the bare pods beside them."""

    ours: list[Wake] = field(default_factory=list)
    bare: list[Bare] = field(default_factory=list)

    def pairs(self, ours: Callable[[Wake], float], bare: Callable[[Bare], float]) -> Pairs:
        """One step of both."""
        return Pairs(
            Samples(tuple(ours(each) for each in self.ours)),
            Samples(tuple(bare(each) for each in self.bare)),
        )


async def run(setting: Setting) -> Sequence[Row]:
    """One at a time, then ten at once; fewer times on a machine that is too slow for all."""
    # That a runner which only starts refuses its first calls is what is measured.
    logging.getLogger("repobridge.tunnel").setLevel(logging.ERROR)
    pairs = max(1, setting.pairs // _PAIRS_A_WAKE)
    async with node(setting) as place, asyncio.timeout(_BOUND_SECONDS):
        wakes = _Wakes(place, setting.say)
        alone = await wakes.repeated(1, times=pairs, seconds=_ALONE_SECONDS)
        rounds = max(1, pairs // _WAKES_A_ROUND)
        many = await wakes.repeated(_MANY, times=rounds, seconds=_MANY_SECONDS)
    return (*_alone_rows(alone), *_many_rows(many))


class _Wakes:
    """Wakes bridges and makes bare pods in turn, each side first in every other pair."""

    def __init__(self, place: Node, say: Callable[[str], None]) -> None:
        self._place = place
        self._say = say
        self._chance = random.Random(0)

    async def repeated(self, count: int, *, times: int, seconds: float) -> _Taken:
        """So many at once, so many times, or as often as the seconds allow; once at least."""
        names = [f"bench-{uuid.uuid4().hex[:8]}" for _ in range(count)]
        self._say(f"  making {count} bridge{'s' * (count > 1)}, with a session to resume …")
        made = await asyncio.gather(*(make_asleep(self._place, name, cpu=_CPU) for name in names))
        taken, until = _Taken(), time.monotonic() + seconds
        for number in range(times):
            if number and time.monotonic() > until:
                self._say(f"  {times - number} of {times} left out: this machine is slow now")
                break
            self._say(f"  {count} at once, {number + 1} of {times} …")
            if number % 2:
                taken.bare += await self._by_hand(made)
                taken.ours += await self._woken(names)
            else:
                taken.ours += await self._woken(names)
                taken.bare += await self._by_hand(made)
        return taken

    async def _woken(self, names: Sequence[str]) -> list[Wake]:
        """From the fastest to the slowest."""
        await self._off_beat()
        found = await asyncio.gather(*(wake(self._place, name) for name in names))
        await asyncio.gather(*(put_to_sleep(self._place, name) for name in names))
        return sorted(found, key=lambda each: each.ready)

    async def _by_hand(self, resources: Sequence[Object]) -> list[Bare]:
        await self._off_beat()
        found = await asyncio.gather(*(bare_pod(self._place, each) for each in resources))
        return sorted(found, key=lambda each: each.ready)

    async def _off_beat(self) -> None:
        """The last pod's end came with a look of the kubelet's: the next must not start with it."""
        await asyncio.sleep(self._chance.uniform(0, _KUBELET_SECONDS))


def _alone_rows(taken: _Taken) -> Sequence[Row]:
    ends = itertools.chain.from_iterable(
        _three(f"wake on the node → {name}", pairs, baseline, goal)
        for name, pairs, baseline, goal in _ends(taken)
    )
    steps = (
        ("pod made", taken.pairs(lambda w: w.made, lambda b: b.made), _MADE),
        ("pod placed", taken.pairs(lambda w: w.placed, lambda b: b.placed), _PLACED),
        ("runner's process", taken.pairs(lambda w: w.began, lambda b: b.began), _BEGAN),
        ("pod told to run", taken.pairs(lambda w: w.told, lambda b: b.told), _TOLD),
        ("message taken", taken.pairs(lambda w: w.taken, lambda b: b.told), _TOLD),
        (
            "runner's process until CLI ready",
            taken.pairs(lambda w: w.ready - w.began, lambda b: b.cli),
            "bare CLI in a bare pod",
        ),
    )
    return (
        *ends,
        *(
            Row(f"of a wake: {name}", pairs, MILLISECONDS, Comparison.DIFFERENCE,
                baseline_name=baseline)
            for name, pairs, baseline in steps
        ),
    )  # fmt: skip


def _many_rows(taken: _Taken) -> Sequence[Row]:
    return tuple(
        itertools.chain.from_iterable(
            _three(f"{_MANY} wakes at once on the node → {name}", pairs, baseline)
            for name, pairs, baseline, _ in _ends(taken)
        )
    )


def _ends(taken: _Taken) -> Sequence[tuple[str, Pairs, str, Goal | None]]:
    return (
        ("status.endpoint", taken.pairs(lambda w: w.endpoint, lambda b: b.told), _TOLD, None),
        ("runner serves", taken.pairs(lambda w: w.serving, lambda b: b.told), _TOLD, None),
        ("CLI ready", taken.pairs(lambda w: w.ready, lambda b: b.ready), _READY, at_most(1.2)),
    )


def _three(name: str, pairs: Pairs, baseline: str, goal: Goal | None = None) -> Sequence[Row]:
    ratio, difference = Comparison.RATIO, Comparison.DIFFERENCE
    return (
        Row(name, pairs, MILLISECONDS, ratio, goal=goal, baseline_name=baseline),
        Row(name, pairs, MILLISECONDS, difference, baseline_name=baseline),
        Row(name, pairs, MILLISECONDS, ratio, 0.95, baseline_name=baseline),
    )


BENCHMARK = Benchmark(
    name="wake",
    about="a wake on a real node until its CLI stands ready, one and ten at once (needs root)",
    run=run,
)
