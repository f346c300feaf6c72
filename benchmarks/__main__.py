"""`python -m benchmarks [NAME…]`: runs the benchmarks one after the other and prints a table."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.benchmark import Benchmark, LeftOut, Setting
from benchmarks.catalogue import BENCHMARKS
from benchmarks.report import Outcome, is_good, to_document, to_json, to_markdown


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 1 when a benchmark failed, or with --check missed a goal; 2 for a wrong call."""
    options = _parser().parse_args(arguments)
    known = {each.name: each for each in BENCHMARKS}
    chosen = [known[name] for name in options.names] or list(BENCHMARKS)
    outcomes = [_run(each, options) for each in chosen]
    sys.stdout.write(to_markdown(outcomes))
    if options.document:
        day = datetime.now(UTC).date().isoformat()
        options.document.write_text(to_document(outcomes, day=day), encoding="utf-8")
    if options.json:
        options.json.write_text(json.dumps(to_json(outcomes), indent=2) + "\n", encoding="utf-8")
    return 0 if is_good(outcomes, goals_count=options.check) else 1


def _parser() -> argparse.ArgumentParser:
    lines = [f"  {each.name:<22}{each.about}" for each in BENCHMARKS]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Each figure beside a baseline measured in the same run.",
        epilog="\n".join(["benchmarks:", *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", type=_name, help="which (default: all)")
    parser.add_argument("--pairs", type=_count, default=50, help="pairs of figure and baseline")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the report there")
    parser.add_argument("--document", type=Path, metavar="FILE", help="also write a page there")
    parser.add_argument("--check", action="store_true", help="fail when a goal is missed")
    parser.add_argument(
        "--directory",
        type=Path,
        default=Path(),
        help="on the disk that is to be measured (default: here)",
    )
    return parser


def _name(text: str) -> str:
    if text not in {each.name for each in BENCHMARKS}:
        raise argparse.ArgumentTypeError(f"there is no benchmark {text!r}; --help lists them")
    return text


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1")
    return int(text)


def _run(benchmark: Benchmark, options: argparse.Namespace) -> Outcome:
    _say(f"{benchmark.name}: {benchmark.about} …")
    with tempfile.TemporaryDirectory(prefix=".benchmark-", dir=options.directory) as directory:
        place = Path(directory).absolute()
        setting = Setting(place, options.pairs, dict(os.environ), _say)
        try:
            return Outcome(benchmark.name, asyncio.run(benchmark.run(setting)))
        except LeftOut as why:
            return Outcome(benchmark.name, left_out=str(why))
        except Exception as error:  # the others still run, and the report names this one
            return Outcome(benchmark.name, error=f"{type(error).__name__}: {error}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
