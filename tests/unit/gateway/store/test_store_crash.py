"""What the store confirmed survives a SIGKILL at any moment, and nothing half-done does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from repobridge.session.events import Cursor
from repobridge_gateway.inbox import InboxState
from tests.unit.gateway.store.chats import open_store, snowflake
from tests.unit.gateway.store.store_child import CHANNELS, bridge_of

ROOT = Path(__file__).parents[4]
CHILD = Path(__file__).with_name("store_child.py")
STEPS = ["received", "submitted", "answered", "stands"]


def run_until(directory: Path, confirmations: int) -> dict[int, str]:
    """Kills a child after so many confirmations: the last one of each message."""
    parts = ["core", "gateway"]
    path = os.pathsep.join([str(ROOT), *(str(ROOT / part) for part in parts)])
    with subprocess.Popen(
        [sys.executable, str(CHILD), str(directory)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(confirmations)]
        child.kill()
        lines += child.stdout.readlines()
    told = (line.split() for line in lines)
    return {int(number): step for step, number in told}


@pytest.mark.parametrize("confirmations", [1, 30, 500])
async def test_every_step_that_was_confirmed_survives_sigkill(
    tmp_path: Path, confirmations: int
) -> None:
    said: dict[int, str] = {}
    for _ in range(2):  # the second time it goes on from what the first left behind
        said |= run_until(tmp_path, confirmations)
        store = await open_store(tmp_path)
        open_pieces = {due.bridge for due in await store.outbox.due()}
        for number, step in said.items():
            kept = await store.inbox.find(snowflake(number))
            assert kept is not None
            reached = STEPS.index(step)
            is_over = kept.state is InboxState.ENDED
            assert kept.is_taken
            assert reached < 1 or kept.state in {InboxState.SUBMITTED, InboxState.ENDED}
            assert reached < 2 or is_over
            sequence, channel = divmod(number, CHANNELS)
            delivered = await store.outbox.delivered(bridge_of(channel)) or Cursor()
            acked = await store.outbox.ack(bridge_of(channel)) or Cursor()
            assert is_over == (delivered.sequence >= sequence)
            if step == "stands":
                assert acked.sequence >= sequence
            if bridge_of(channel) in open_pieces:
                assert acked.sequence < delivered.sequence
        await store.close()
