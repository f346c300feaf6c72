"""The report of a run: a Markdown table for people, JSON for programs."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.measure import Samples
from benchmarks.result import Comparison, Goal, Row, Unit

_HEADINGS = ("Name", "Figure", "Baseline", "Compared", "Goal", "Reached")
_DOCUMENT = """# Benchmarks

A run of `make bench` on {day}: {machine}; load average {load} at its end.

Each figure stands beside a baseline that was measured in the same run, pair by pair in turn, so
that a machine that is busy with other things hurts both alike. "Compared" is the median over the
pairs; for p95 and p99, the two quantiles against each other; what was measured once has no
quantile. The CLI is the real one in front of an
imitation of its API on loopback, which answers at once; what a provider takes comes on top of both
sides. "A bare PTY" and "bare CLI" are driven by the least code that can do it: no journal, no gRPC,
one reader.

A wake on the node is a `PATCH` of `/scale` on a real one-node Kubernetes with the chart installed,
and a message over mutual TLS as soon as the address is told; the agent resumes its session. "A bare
pod" runs the same image with the same resources, but no volume, no Secret, no probe and no runner.
Its request is sent by the same client, so that kubectl's own start is in neither side. It "runs"
once the API server says so; then the bare CLI in it counts from its start to its prompt, in a new
session. A step that a bare pod does not have stands beside the one before.

The operator is measured as a process with its least rights, on a real API server (etcd without
fsync). Where no node is named, none is there: a program binds the pods and gives each its address
at once, to bridges and to bare pods alike, so that what is left is the API server's work and ours.
A bare pod is the bridge's own pod, made by one POST. "Bridges at once" and "bare pods" start
together, and the fastest stands beside the fastest. A bridge's writes are every create, update,
patch and delete of the operator's account in the audit log, statuses and events included; its Lease
and the Secrets of its CA belong to no bridge. "Served" is a status that says Asleep, with claim,
policy and Secret made. The minute of rest is that of two operators at once, the other without
bridges; it has no full look (one each ten minutes), which the restarted operator has had twice when
its writes are counted.

A message's way in begins when somebody is due to write it in the imitation of Discord, at a rate
that waits for nobody, and ends when `Submit` has answered: then gateway and runner have committed
it. The runners are a hundred processes with a scripted agent that is in the middle of a turn, so
that what is measured is the way in and not a hundred agents on one machine; a lost message fails
the run. "discord.py, a pipe and two commits" is a bot that writes each event into a pipe, whose
reader commits it in two databases that are as durable. "Taken" is the rate at which all arrived:
what can't be handed over yet waits in the gateway's store. With the real CLI the way ends at the
hook `UserPromptSubmit`, ours when a subscriber of the runner hears of it; the bare CLIs have as
long a rest between their turns. A catch-up begins with the websocket's session, with an empty
store, and ends when the last message may be handed over; besides 200 pages of history it takes a
list of threads and a notice of the wake for each channel.

A turn that streams is one of the real CLI, recorded in the same run: 72 lines in some 19 seconds, a
tool in their middle. It is written again, at its pace, into the logs of so many runners, whose own
servers stream them to one gateway; the imitation of Discord keeps the limits as they are known: 5
edits in 5 seconds in a channel, 50 requests a second. All turns begin at once and end at once.
"As often as Discord allows" is an edit a second from the first sight of a turn, at no cost; a text
that was not shown before the turn's end counts until the answer. "50 a second" is what the limit
leaves for as many that are due at once.

A message that comes within its limits is let through by the gateway's ledger, by throttled-py and
by limits, in turns of hundreds of messages; "three limits" are somebody's bucket and hourly window
and a channel's bucket. The libraries do less. They know no message again, where the ledger answers
one that comes twice as the first time, for a day; on Valkey they send each caller's call by itself,
where ours go together. They know one limit at a time: of three, those before the one that refuses
are used all the same. limits has no bucket, and a moving window takes its place. What SQLite has
answered is on disk; beside it each caller syncs a page, one after the other. The million people
write once each, in a process of its own for each ledger; ours keeps the last 200,000 windows and as
many messages.

An idle thread has had a turn of one line. "discord.py alone" did the same to an imitation of its
own: a mark, a message, its edit, an answer. Most of what both keep is what the library knows of
each route's limit, for five minutes.

{table}"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one benchmark came to: rows, the error that ended it, or why it was not even begun."""

    benchmark: str
    rows: Sequence[Row] = ()
    error: str = ""
    left_out: str = ""


def is_good(outcomes: Sequence[Outcome], *, goals_count: bool) -> bool:
    """Whether every benchmark ran, and with `goals_count`, reached its goals."""
    rows = [row for outcome in outcomes for row in outcome.rows]
    missed = any(row.is_reached is False for row in rows)
    return not any(outcome.error for outcome in outcomes) and not (goals_count and missed)


def to_markdown(outcomes: Sequence[Outcome]) -> str:
    """The table, and after it the benchmarks that failed or were left out."""
    lines = [_line(_HEADINGS), _line(["---"] * len(_HEADINGS))]
    lines += [_line(_cells(row)) for outcome in outcomes for row in outcome.rows]
    notes = [
        f"- {outcome.benchmark} failed: {outcome.error}" for outcome in outcomes if outcome.error
    ]
    notes += [
        f"- {outcome.benchmark} was left out: {outcome.left_out}"
        for outcome in outcomes
        if outcome.left_out
    ]
    return "\n".join([*lines, *([""] if notes else []), *notes]) + "\n"


def to_document(outcomes: Sequence[Outcome], *, day: str) -> str:
    """The table with what one must know to read it: the page of the documentation."""
    machine = (
        f"{os.cpu_count()} cores, {platform.system()} {platform.release().partition('-')[0]} on"
        f" {platform.machine()}, Python {platform.python_version()}"
    )
    return _DOCUMENT.format(
        machine=machine,
        day=day,
        load=f"{os.getloadavg()[0]:.1f}",
        table=to_markdown(outcomes),
    )


def to_json(outcomes: Sequence[Outcome]) -> dict[str, object]:
    """Everything in the table, unrounded, with the spread of each side."""
    return {
        "machine": {
            "system": platform.platform(),
            "python": platform.python_version(),
            "processors": os.cpu_count(),
        },
        "rows": [
            {"benchmark": outcome.benchmark, **_row(row)}
            for outcome in outcomes
            for row in outcome.rows
        ],
        "failures": {each.benchmark: each.error for each in outcomes if each.error},
        "left_out": {each.benchmark: each.left_out for each in outcomes if each.left_out},
    }


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(row: Row) -> tuple[str, ...]:
    reached = {None: "", True: "yes", False: "**no**"}[row.is_reached]
    baseline = row.unit.show(row.baseline)
    is_single = len(row.pairs.figure.values) == 1
    return (
        row.name if is_single else f"{row.name}, p{row.quantile * 100:g}",
        row.unit.show(row.figure),
        f"{baseline} ({row.baseline_name})" if row.baseline_name else baseline,
        _compared(row),
        _goal(row.goal, row.compared_unit),
        reached,
    )


def _compared(row: Row) -> str:
    if row.comparison is Comparison.NONE:
        return ""
    text = row.compared_unit.show(row.compared)
    return f"+{text}" if row.comparison is Comparison.DIFFERENCE and row.compared >= 0 else text


def _goal(goal: Goal | None, unit: Unit) -> str:
    return "" if goal is None else f"{'≤' if goal.is_upper else '≥'} {unit.show(goal.bound)}"


def _row(row: Row) -> dict[str, object]:
    return {
        "name": row.name,
        "unit": row.unit.base,
        "quantile": row.quantile,
        "figure": _spread(row.pairs.figure),
        "baseline": {"name": row.baseline_name, **_spread(row.pairs.baseline)},
        "comparison": row.comparison.value,
        "compared": row.compared,
        "goal": row.goal
        and {"bound": row.goal.bound, "is": "at most" if row.goal.is_upper else "at least"},
        "reached": row.is_reached,
    }


def _spread(samples: Samples) -> dict[str, object]:
    return {
        "samples": len(samples.values),
        "p50": samples.p50,
        "p99": samples.p99,
        "min": min(samples.values),
        "max": max(samples.values),
    }
