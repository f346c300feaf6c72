"""Memory and processor time of a process, as the kernel counts them."""

import os
import time

import pytest

from benchmarks.proc import cpu_seconds, proportional_bytes, sizes


def test_sizes_are_bytes_and_the_resident_ones_no_more_than_the_highest() -> None:
    found = sizes(os.getpid())
    assert 1e6 < found["VmRSS"] <= found["VmHWM"]
    assert found["VmRSS"] % 1024 == 0


def test_processor_time_is_that_of_every_thread() -> None:
    assert cpu_seconds(os.getpid()) == pytest.approx(time.process_time(), abs=0.1)


def test_a_process_has_its_part_of_what_it_shares() -> None:
    assert 1e6 < proportional_bytes(os.getpid()) <= sizes(os.getpid())["VmHWM"]
