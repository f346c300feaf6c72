"""What is remembered of a million people who wrote once, in bytes of the process that remembers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from benchmarks.benchmark import Setting
from benchmarks.commanded import commanded
from benchmarks.measure import Pairs, Samples
from benchmarks.proc import sizes
from benchmarks.result import MEGABYTES, Comparison, Row, at_most
from repobridge_gateway.limits.memory import SIZE

_PEOPLE = 1_000_000
_BOUND_BYTES = 200e6
_KNOWN = {"throttled-py": f"which knows the last {SIZE:,}, too", "limits": "which knows them all"}


async def crowds(setting: Setting) -> Sequence[Row]:
    """One row for each library; all three remember at the same time, each in its own process."""
    ours, *others = await asyncio.gather(*(_grown(setting, by) for by in ("ours", *_KNOWN)))
    return [
        Row(
            f"memory for {_PEOPLE:,} people who wrote once within an hour",
            Pairs(Samples((ours,)), Samples((bytes_,))),
            MEGABYTES,
            Comparison.NONE,
            goal=at_most(_BOUND_BYTES),
            baseline_name=f"{by}, {known}",
        )
        for (by, known), bytes_ in zip(_KNOWN.items(), others, strict=True)
    ]


async def _grown(setting: Setting, by: str) -> float:
    log = setting.directory / f"crowd-{by}.log"
    async with commanded("benchmarks.crowd", {"by": by}, log=log) as program:
        await program.ask("write", count=1)
        before = sizes(program.pid)["RssAnon"]
        told = await program.ask("write", count=_PEOPLE)
        if told["granted"] != _PEOPLE:
            raise RuntimeError(f"{by} refused some who had room")
        return sizes(program.pid)["RssAnon"] - before
