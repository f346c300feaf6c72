"""What a benchmark reports: a figure beside its baseline, and whether that is enough."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from benchmarks.measure import Pairs, Samples


class Comparison(Enum):
    """How a figure is held against its baseline."""

    RATIO = "ratio"
    DIFFERENCE = "difference"
    NONE = "none"
    """The figure itself is what counts; the baseline stands beside it for scale."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What a quantity is shown in: its value, in `base`, times `scale`, with a symbol after it."""

    symbol: str
    base: str
    scale: float = 1.0
    decimals: int = 2

    def show(self, value: float) -> str:
        """The value for people."""
        return f"{value * self.scale:,.{self.decimals}f} {self.symbol}".rstrip()


COUNT = Unit("", "")
PERCENT = Unit("%", "1", 1e2)
SECONDS = Unit("s", "s", 1, 1)
MILLISECONDS = Unit("ms", "s", 1e3)
MICROSECONDS = Unit("µs", "s", 1e6, 0)
PER_SECOND = Unit("/s", "/s", 1, 0)
MEGABYTES = Unit("MB", "B", 1e-6, 1)
MEGABYTES_PER_SECOND = Unit("MB/s", "B/s", 1e-6, 1)
TIMES = Unit("×", "")


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound that the compared value must keep, in the unit of the comparison."""

    bound: float
    is_upper: bool

    def is_reached(self, value: float) -> bool:
        """Whether a value keeps the bound."""
        return value <= self.bound if self.is_upper else value >= self.bound


def at_most(bound: float) -> Goal:
    """A goal from above."""
    return Goal(bound, is_upper=True)


def at_least(bound: float) -> Goal:
    """A goal from below."""
    return Goal(bound, is_upper=False)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the report: one quantile of a figure against the same of its baseline."""

    name: str
    pairs: Pairs
    unit: Unit
    comparison: Comparison
    quantile: float = 0.5
    goal: Goal | None = None
    baseline_name: str = ""

    @property
    def figure(self) -> float:
        """The figure at the row's quantile."""
        return self.pairs.figure.quantile(self.quantile)

    @property
    def baseline(self) -> float:
        """The baseline at the row's quantile."""
        return self.pairs.baseline.quantile(self.quantile)

    @property
    def compared(self) -> float:
        """The median over the pairs; for other quantiles, the two quantiles against each other.

        Pairs say nothing about a tail: the slow sample of one side has no partner on the other.
        """
        if self.comparison is Comparison.NONE:
            return self.figure
        if self.quantile == 0.5:
            return self._by_pair().p50
        if self.comparison is Comparison.RATIO:
            return self.figure / self.baseline
        return self.figure - self.baseline

    @property
    def is_reached(self) -> bool | None:
        """Whether the goal is kept; None without one."""
        return None if self.goal is None else self.goal.is_reached(self.compared)

    @property
    def compared_unit(self) -> Unit:
        """The unit of the compared value and of the goal."""
        return TIMES if self.comparison is Comparison.RATIO else self.unit

    def _by_pair(self) -> Samples:
        if self.comparison is Comparison.RATIO:
            return self.pairs.ratios()
        return self.pairs.differences()
