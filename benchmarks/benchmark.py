"""What a benchmark is: a name, a sentence, and an async function that measures."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.result import Row


class LeftOut(Exception):
    """This machine can't measure it; the sentence says why, and nothing has failed."""


def _say_nothing(_: str) -> None:
    """Nobody follows."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a benchmark may write, how often it measures, and what it may hand to programs."""

    directory: Path
    """Empty, on a real disk, removed afterwards."""
    pairs: int
    """Pairs of figure and baseline that are asked for; dear ones take fewer."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """The caller's variables, from which those of child processes are picked."""
    say: Callable[[str], None] = _say_nothing
    """Tells whoever waits how far a long one is."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A named measurement that makes some rows of the report."""

    name: str
    about: str
    run: Callable[[Setting], Coroutine[Any, Any, Sequence[Row]]]
