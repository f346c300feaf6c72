"""When a process began, by the clock of whoever asks."""

import os
import subprocess
import sys
import time

import pytest

from benchmarks.process_start import began_at, first_process

_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")


def test_a_process_began_when_it_was_started() -> None:
    before = time.perf_counter()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as started:
        after = time.perf_counter()
        assert before - _TICK_SECONDS <= began_at(started.pid) <= after + _TICK_SECONDS
        started.kill()


def test_a_pod_that_is_not_there_has_no_first_process() -> None:
    with pytest.raises(AssertionError, match="the pod rb-nobody-0 has no process"):
        first_process("rb-nobody-0")
