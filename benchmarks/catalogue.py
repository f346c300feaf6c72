"""Every benchmark there is, in the order in which they run."""

from __future__ import annotations

from benchmarks import (
    access_checks,
    arrivals,
    arrivals_claude,
    catch_up,
    drain,
    durable_appends,
    first_delta,
    flood,
    idle_threads,
    limit_checks,
    many_bridges,
    memory,
    ready,
    replay,
    streaming,
    submit,
    wake,
    wake_api,
    writes,
)

BENCHMARKS = (
    submit.BENCHMARK,
    first_delta.BENCHMARK,
    ready.BENCHMARK,
    memory.BENCHMARK,
    drain.BENCHMARK,
    flood.BENCHMARK,
    durable_appends.BENCHMARK,
    replay.BENCHMARK,
    access_checks.BENCHMARK,
    limit_checks.BENCHMARK,
    writes.BENCHMARK,
    wake_api.BENCHMARK,
    many_bridges.BENCHMARK,
    wake.BENCHMARK,
    arrivals.BENCHMARK,
    arrivals_claude.BENCHMARK,
    catch_up.BENCHMARK,
    streaming.BENCHMARK,
    idle_threads.BENCHMARK,
)
