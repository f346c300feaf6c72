"""Every benchmark there is, in the order in which they run."""

from __future__ import annotations

from benchmarks import durable_appends

BENCHMARKS = (durable_appends.BENCHMARK,)
