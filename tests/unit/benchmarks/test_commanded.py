"""Programs that are told what to do: one answer a line, and a death that says why."""

from pathlib import Path

import pytest

from benchmarks.commanded import commanded

PROGRAM = "tests.unit.benchmarks.obeying"


async def test_a_program_answers_each_line_and_ends_with_them(tmp_path: Path) -> None:
    async with commanded(PROGRAM, {"dividend": 6}, log=tmp_path / "log") as program:
        assert program.told == {"divides": 6}
        assert await program.ask("divide", number=3) == {"result": 2.0}
        assert await program.ask("divide", number=4) == {"result": 1.5}
    assert not Path(f"/proc/{program.pid}").exists()
    assert (tmp_path / "log").read_text() == ""


async def test_who_asks_a_program_that_dies_reads_its_last_words(tmp_path: Path) -> None:
    async with commanded(PROGRAM, {"dividend": 6}, log=tmp_path / "log") as program:
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            await program.ask("divide", number=0)
