"""Samples, and how pairs of them are taken so that a drifting machine hurts both sides alike."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

Measure = Callable[[], Awaitable[float]]


@dataclass(frozen=True, slots=True)
class Samples:
    """Repeated measurements of one quantity, in the order they were taken."""

    values: tuple[float, ...]

    def quantile(self, share: float) -> float:
        """The smallest value that `share` of all do not exceed."""
        ordered = sorted(self.values)
        return ordered[max(0, math.ceil(len(ordered) * share) - 1)]

    @property
    def p50(self) -> float:
        """The median."""
        return self.quantile(0.5)

    @property
    def p99(self) -> float:
        """What 99 of 100 do not exceed."""
        return self.quantile(0.99)


@dataclass(frozen=True, slots=True)
class Pairs:
    """A figure and its baseline, sample by sample from the same moments."""

    figure: Samples
    baseline: Samples

    def ratios(self) -> Samples:
        """Figure over baseline, pair by pair."""
        return Samples(tuple(a / b for a, b in self._zipped()))

    def differences(self) -> Samples:
        """Figure minus baseline, pair by pair."""
        return Samples(tuple(a - b for a, b in self._zipped()))

    def _zipped(self) -> Sequence[tuple[float, float]]:
        return list(zip(self.figure.values, self.baseline.values, strict=True))


async def interleaved(figure: Measure, baseline: Measure, *, pairs: int, warm_up: int = 1) -> Pairs:
    """Measures both in turn, each first in every other pair; the warm-up pairs do not count."""
    figures: list[float] = []
    baselines: list[float] = []
    for number in range(-warm_up, pairs):
        if number % 2:
            second = await baseline()
            first = await figure()
        else:
            first = await figure()
            second = await baseline()
        if number >= 0:
            figures.append(first)
            baselines.append(second)
    return Pairs(Samples(tuple(figures)), Samples(tuple(baselines)))


async def seconds(act: Callable[[], Awaitable[object]]) -> float:
    """How long an act takes."""
    started = time.perf_counter()
    await act()
    return time.perf_counter() - started


async def per_second(count: int, act: Callable[[], Awaitable[object]]) -> float:
    """The rate at which an act does `count` things."""
    return count / await seconds(act)
