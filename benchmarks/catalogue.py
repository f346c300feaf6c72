"""Every benchmark there is, in the order in which they run."""

from __future__ import annotations

from benchmarks import drain, durable_appends

BENCHMARKS = (durable_appends.BENCHMARK, drain.BENCHMARK)
