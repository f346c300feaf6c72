"""When a pod's process began, on the clock that every process of the machine shares."""

from __future__ import annotations

import os

from repobridge.process import PROC, read_process


def began_at(pid: int) -> float:
    """The `time.perf_counter` at which a process was started, to a hundredth of a second."""
    process = read_process(pid)
    assert process is not None, f"there is no process {pid}"
    return process.start_time / os.sysconf("SC_CLK_TCK")


def first_process(pod: str) -> int:
    """The pid, as the machine numbers it, of what a pod's only container has started with."""
    named = f"HOSTNAME={pod}".encode()
    for directory in PROC.iterdir():
        try:
            if directory.name.isdigit() and _is_first(directory.joinpath("status").read_text()):
                variables = directory.joinpath("environ").read_bytes().split(b"\0")
                if named in variables:
                    return int(directory.name)
        except OSError:
            continue  # it has ended meanwhile
    raise AssertionError(f"the pod {pod} has no process")


def _is_first(status: str) -> bool:
    """Whether a process is the first of a PID namespace within the machine's."""
    line = next((line for line in status.splitlines() if line.startswith("NSpid:")), "")
    return line.split()[-1:] == ["1"] and len(line.split()) > 2
