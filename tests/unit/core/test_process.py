"""What /proc tells, read right."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from repobridge.process import children, descendants, processes, read_process

CORE = Path(__file__).parents[3] / "core"


def test_a_process_with_brackets_in_its_name_is_read_right(tmp_path: Path) -> None:
    program = tmp_path / "a) R (b"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "1000"], start_new_session=True) as child:
        found = read_process(child.pid)
        child.kill()

    assert found is not None
    assert (found.pid, found.name, found.parent) == (child.pid, "a) R (b", os.getpid())
    assert (found.group, found.session) == (child.pid, child.pid)
    assert found.start_time > 0


def test_a_process_that_is_gone_is_none() -> None:
    with subprocess.Popen(["true"]) as child:
        pass

    assert read_process(child.pid) is None


def test_a_zombie_is_told_from_the_living() -> None:
    with subprocess.Popen(["true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        found = read_process(child.pid)

    assert found is not None
    assert found.is_zombie


def test_children_and_descendants_are_found() -> None:
    with subprocess.Popen(
        ["sh", "-c", "sleep 1000 & echo $!; wait"], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        grandchild = int(child.stdout.readline())
        listed = (
            child.pid in {p.pid for p in children(os.getpid())},
            grandchild in {p.pid for p in children(os.getpid())},
            grandchild in {p.pid for p in descendants(os.getpid())},
            {child.pid, grandchild, os.getpid()} <= {p.pid for p in processes()},
        )
        os.kill(grandchild, 9)

    assert listed == (True, False, True, True)


def test_a_private_process_adopts_its_orphans_and_closes_its_memory() -> None:
    program = """
import ctypes, os, subprocess
from repobridge.process import children, make_process_private
make_process_private()
subprocess.run(["sh", "-c", "(setsid sleep 1000 &)"])
orphans = list(children(os.getpid()))
for orphan in orphans:
    os.kill(orphan.pid, 9)
PR_GET_DUMPABLE = 3
print(len(orphans), ctypes.CDLL(None).prctl(PR_GET_DUMPABLE))
"""
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(CORE), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )

    assert ran.stdout == "1 0\n"
