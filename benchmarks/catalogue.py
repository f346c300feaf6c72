"""Every benchmark there is, in the order in which they run."""

from __future__ import annotations

from benchmarks import drain, durable_appends, first_delta, flood, memory, ready, replay, submit

BENCHMARKS = (
    submit.BENCHMARK,
    first_delta.BENCHMARK,
    ready.BENCHMARK,
    memory.BENCHMARK,
    drain.BENCHMARK,
    flood.BENCHMARK,
    durable_appends.BENCHMARK,
    replay.BENCHMARK,
)
