"""The benchmarks' harness: what is measured in which order, and what the report says of it."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import __main__ as entry
from benchmarks.benchmark import Benchmark, LeftOut, Setting
from benchmarks.measure import Measure, Pairs, Samples, interleaved
from benchmarks.report import Outcome, is_good, to_document, to_json, to_markdown
from benchmarks.result import (
    MEGABYTES,
    MEGABYTES_PER_SECOND,
    MILLISECONDS,
    Comparison,
    Row,
    at_least,
    at_most,
)

DELAY = Row(
    "first delta",
    Pairs(Samples((0.030, 0.020, 0.090)), Samples((0.010, 0.015, 0.012))),
    MILLISECONDS,
    Comparison.DIFFERENCE,
    goal=at_most(0.025),
    baseline_name="bare CLI",
)
DRAIN = Row(
    "drain",
    Pairs(Samples((50e6, 60e6)), Samples((100e6, 100e6))),
    MEGABYTES_PER_SECOND,
    Comparison.RATIO,
    goal=at_least(0.6),
)


def test_quantiles_are_values_that_were_seen() -> None:
    hundred = Samples(tuple(float(n) for n in range(100, 0, -1)))
    assert (hundred.p50, hundred.p99, hundred.quantile(1)) == (50, 99, 100)
    assert (Samples((7.0,)).p50, Samples((7.0,)).p99) == (7, 7)


async def test_pairs_take_turns_in_going_first_and_the_warm_up_does_not_count() -> None:
    order: list[str] = []

    def measure(name: str) -> Measure:
        async def one() -> float:
            order.append(name)
            return float(len(order))

        return one

    pairs = await interleaved(measure("a"), measure("b"), pairs=3, warm_up=1)

    assert order == ["b", "a", "a", "b", "b", "a", "a", "b"]
    assert pairs == Pairs(Samples((3, 6, 7)), Samples((4, 5, 8)))


def test_the_median_is_of_the_pairs_and_a_tail_of_each_side() -> None:
    assert DELAY.compared == pytest.approx(0.020)
    tail = Row("x", DELAY.pairs, MILLISECONDS, Comparison.DIFFERENCE, quantile=0.99)
    assert tail.compared == pytest.approx(0.075)
    ratio = Row("x", DRAIN.pairs, MEGABYTES_PER_SECOND, Comparison.RATIO, quantile=0.99)
    assert ratio.compared == pytest.approx(0.6)


def test_a_figure_that_counts_by_itself_is_held_against_its_goal_alone() -> None:
    memory = Row(
        "memory",
        Pairs(Samples((48e6,)), Samples((264e6,))),
        MEGABYTES,
        Comparison.NONE,
        goal=at_most(60e6),
        baseline_name="CLI",
    )
    assert (memory.compared, memory.is_reached) == (48e6, True)
    assert to_markdown([Outcome("a", [memory])]).splitlines()[-1] == (
        "| memory | 48.0 MB | 264.0 MB (CLI) |  | ≤ 60.0 MB | yes |"
    )


def test_the_page_says_what_kind_of_machine_it_was_and_which_day() -> None:
    page = to_document([Outcome("a", [DRAIN])], day="2026-01-02")
    assert page.startswith("# Benchmarks\n\nA run of `make bench` on 2026-01-02: ")
    assert " cores, " in page
    assert page.endswith(to_markdown([Outcome("a", [DRAIN])]))


def test_the_table_says_what_was_reached_and_what_failed() -> None:
    outcomes = [
        Outcome("a", [DELAY, DRAIN]),
        Outcome("b", error="LookupError: no CLI"),
    ]
    assert to_markdown(outcomes) == (
        "| Name | Figure | Baseline | Compared | Goal | Reached |\n"
        "| --- | --- | --- | --- | --- | --- |\n"
        "| first delta, p50 | 30.00 ms | 12.00 ms (bare CLI) | +20.00 ms | ≤ 25.00 ms | yes |\n"
        "| drain, p50 | 50.0 MB/s | 100.0 MB/s | 0.50 × | ≥ 0.60 × | **no** |\n"
        "\n"
        "- b failed: LookupError: no CLI\n"
    )


def test_the_json_holds_both_sides_unrounded() -> None:
    report = to_json([Outcome("a", [DELAY]), Outcome("b", error="E: x")])
    assert report["failures"] == {"b": "E: x"}
    assert report["rows"] == [
        {
            "benchmark": "a",
            "name": "first delta",
            "unit": "s",
            "quantile": 0.5,
            "figure": {"samples": 3, "p50": 0.030, "p99": 0.090, "min": 0.020, "max": 0.090},
            "baseline": {
                "name": "bare CLI",
                "samples": 3,
                "p50": 0.012,
                "p99": 0.015,
                "min": 0.010,
                "max": 0.015,
            },
            "comparison": "difference",
            "compared": pytest.approx(0.020),
            "goal": {"bound": 0.025, "is": "at most"},
            "reached": True,
        }
    ]


def test_a_missed_goal_fails_only_a_checked_run_and_an_error_fails_each() -> None:
    missed, failed = [Outcome("a", [DRAIN])], [Outcome("a", error="x")]
    assert [is_good(missed, goals_count=count) for count in (False, True)] == [True, False]
    assert [is_good(failed, goals_count=count) for count in (False, True)] == [False, False]


def test_a_benchmark_that_fails_leaves_the_others_their_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail(setting: Setting) -> Sequence[Row]:
        raise LookupError(f"{setting.pairs} pairs")

    async def work(setting: Setting) -> Sequence[Row]:
        (setting.directory / "file").write_text("")
        return [DELAY]

    both = (Benchmark("broken", "fails", fail), Benchmark("sound", "works", work))
    monkeypatch.setattr(entry, "BENCHMARKS", both)
    report = tmp_path / "report.json"

    code = entry.main(["--pairs", "7", "--directory", str(tmp_path), "--json", str(report)])

    assert code == 1
    assert "first delta" in capsys.readouterr().out
    written = json.loads(report.read_text())
    assert [row["benchmark"] for row in written["rows"]] == ["sound"]
    assert written["failures"] == {"broken": "LookupError: 7 pairs"}
    assert list(tmp_path.iterdir()) == [report]


def test_what_a_machine_cannot_measure_is_said_in_a_line_and_fails_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def leave_out(setting: Setting) -> Sequence[Row]:
        setting.say("looking for a node")
        raise LeftOut("a node needs root.")

    monkeypatch.setattr(entry, "BENCHMARKS", (Benchmark("node", "a node", leave_out),))
    report = tmp_path / "report.json"

    code = entry.main(["--check", "--directory", str(tmp_path), "--json", str(report)])

    told = capsys.readouterr()
    assert code == 0
    assert told.out.endswith("\n\n- node was left out: a node needs root.\n")
    assert told.err == "node: a node …\nlooking for a node\n"
    assert json.loads(report.read_text())["left_out"] == {"node": "a node needs root."}


@pytest.mark.parametrize("arguments", [["nope"], ["--pairs", "0"], ["--pairs", "x"]])
def test_a_wrong_call_is_one_sentence_and_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        entry.main(arguments)
    assert ended.value.code == 2
    assert arguments[-1] in capsys.readouterr().err
