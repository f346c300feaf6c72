"""What was confirmed survives a SIGKILL at any moment, and nothing half-done does."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from repobridge.session.v1 import session_pb2 as pb
from repobridge_runner.journal import Journal

CHILD = Path(__file__).with_name("journal_child.py")


def start(directory: Path, scenario: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(CHILD), str(directory), scenario],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def stored(connection: sqlite3.Connection) -> dict[int, str]:
    rows = connection.execute("SELECT sequence, payload FROM events ORDER BY sequence")
    return {sequence: pb.Event.FromString(raw).text_delta.markdown for sequence, raw in rows}


def confirmed(lines: list[str]) -> dict[int, str]:
    return {int(number): name for number, name in (line.split() for line in lines)}


@pytest.mark.parametrize("confirmations", [0, 1, 7, 100, 2_000, 10_000])
async def test_every_confirmed_event_survives_sigkill(tmp_path: Path, confirmations: int) -> None:
    for _ in range(2):  # the second time it takes over what the first left behind
        with start(tmp_path, "for ever") as child:
            assert child.stdout is not None
            lines = [child.stdout.readline() for _ in range(confirmations)]
            child.kill()
            lines += child.stdout.readlines()
        said = confirmed(lines)

        journal = await Journal.open(tmp_path)
        kept = await journal.read(stored)
        last = journal.state_at_open.last_sequence
        await journal.close()

        assert len(said) >= confirmations
        assert {sequence: kept[sequence] for sequence in said} == said
        assert list(kept) == list(range(1, last + 1))


async def test_an_act_that_was_killed_before_its_commit_leaves_nothing(tmp_path: Path) -> None:
    with start(tmp_path, "inside") as child:
        assert child.stdout is not None
        assert [child.stdout.readline() for _ in range(2)] == ["1 kept\n", "inside 2\n"]
        child.kill()

    journal = await Journal.open(tmp_path)
    assert await journal.read(stored) == {1: "kept"}
    await journal.close()
