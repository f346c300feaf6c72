"""Processes that end with the one that starts them."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys

from tests.tied import tied

STARTER = """
import subprocess, sys
from tests.tied import tied
subprocess.Popen(tied(["sh", "-c", "echo $$; exec sleep 600"]))
sys.stdin.read()
"""


def test_becomes_the_command() -> None:
    done = subprocess.run(tied(["echo", "a b"]), check=True, capture_output=True, text=True)
    assert done.stdout == "a b\n"


def test_ends_when_its_starter_is_killed() -> None:
    command = [sys.executable, "-c", STARTER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        end = os.pidfd_open(int(starter.stdout.readline()))
        starter.send_signal(signal.SIGKILL)
    try:
        readable, _, _ = select.select([end], [], [], 30)
        assert readable == [end]
    finally:
        os.close(end)


def test_does_not_start_for_a_parent_that_is_gone() -> None:
    *launcher, _, program = tied(["echo"])
    done = subprocess.run([*launcher, "1", program], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "The parent is gone.\n")
