"""A child of a killed process is dead before it can see that the other side hung up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

_CHILD = """
import ctypes, pathlib, socket, sys
ctypes.CDLL(None).prctl(1, 9)
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
connection.send(b"!")
connection.recv(1)
pathlib.Path(sys.argv[2]).touch()
"""
_PARENT = """
import socket, subprocess, sys, threading, time
from repobridge_runner.filekeeper import keep_files_open
from repobridge_runner.inotify import Watch
print(keep_files_open() if sys.argv[3] == "kept" else 0)
import os
directory = os.open("/tmp", os.O_RDONLY)
watches = [Watch(directory) for _ in range(20)]  # closing one of them takes the kernel a while
threads = [threading.Thread(target=time.sleep, args=(60,), daemon=True) for _ in range(8)]
for thread in threads:
    thread.start()
listener = socket.create_server(("127.0.0.1", 0))
port = str(listener.getsockname()[1])
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], port, sys.argv[2]])
connection, _ = listener.accept()
connection.recv(1)
print(child.pid, flush=True)
time.sleep(60)
"""


def killed(seen: Path, how: str) -> int:
    """Kills a process with a connected child; returns the keeper's pid when all are gone."""
    command = [sys.executable, "-c", _PARENT, _CHILD, str(seen), how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        keeper, child = (int(parent.stdout.readline()) for _ in range(2))
        others = [psutil.Process(pid) for pid in (keeper, child) if pid]
        parent.kill()
    psutil.wait_procs(others, timeout=60)
    assert not any(each.is_running() for each in others)
    return keeper


@pytest.mark.parametrize("turn", range(5))
def test_a_child_never_sees_the_connection_of_its_killed_parent_break(
    tmp_path: Path, turn: int
) -> None:
    seen = tmp_path / f"seen-{turn}"
    assert killed(seen, "kept") > 0
    assert not seen.exists()
