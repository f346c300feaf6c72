"""The counter of OOM kills: where it is found, and what an exit by SIGKILL then means."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from repobridge_runner.oom import OomCounter, counter_files, read_count
from repobridge_runner.terminal import ExitStatus, Terminal
from tests.unit.runner.terminals import ENVIRONMENT, SIZE, TMP

MEMORY_CGROUPS = Path("/sys/fs/cgroup/memory")


def test_version_2_is_looked_for_in_the_own_group_then_at_the_root(tmp_path: Path) -> None:
    membership = tmp_path / "cgroup"
    membership.write_text("0::/kubepods/pod1\n")

    files = counter_files(membership=membership, root=tmp_path / "fs")

    assert files == [
        tmp_path / "fs/kubepods/pod1/memory.events",
        tmp_path / "fs/memory.events",
    ]


def test_version_1_is_looked_for_under_the_memory_controller(tmp_path: Path) -> None:
    membership = tmp_path / "cgroup"
    membership.write_text("5:devices:/\n4:cpu,memory:/a:b\n0::/\n")

    files = counter_files(membership=membership, root=tmp_path)

    assert files == [
        tmp_path / "memory/a:b/memory.oom_control",
        tmp_path / "memory/memory.oom_control",
        tmp_path / "memory.events",
    ]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n", 2),
        ("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n", 7),
        ("oom_kill_disable 0\nunder_oom 0\n", None),
        ("", None),
        ("rubbish", None),
    ],
)
def test_the_count_is_read_from_both_versions_forms(
    tmp_path: Path, text: str, count: int | None
) -> None:
    (tmp_path / "file").write_text(text)

    assert read_count([tmp_path / "missing", tmp_path / "file"]) == count


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_rise_is_recent_for_some_seconds(tmp_path: Path) -> None:
    clock = Clock()
    file = tmp_path / "memory.events"
    file.write_text("oom_kill 4\n")
    counter = OomCounter([file], clock=clock)

    seen = [counter.rose_recently()]
    file.write_text("oom_kill 5\n")
    counter.observe()
    for later in (0.0, 5.0, 5.1):
        clock.now = 100.0 + later
        seen.append(counter.rose_recently())

    assert seen == [False, True, True, False]


def test_without_a_counter_nothing_is_claimed(tmp_path: Path) -> None:
    counter = OomCounter([tmp_path / "missing"])

    assert counter.rose_recently() is False


@pytest.fixture
def small_group() -> Iterator[Path]:
    group = MEMORY_CGROUPS / f"test-{uuid.uuid4()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(32 << 20))
    except OSError:
        pytest.skip("no cgroup v1 memory controller that this user may use")
    yield group
    group.rmdir()


async def test_a_child_that_the_kernel_killed_for_memory_ended_out_of_memory(
    small_group: Path,
) -> None:
    script = f"echo $$ > {small_group}/cgroup.procs; exec tail /dev/zero"
    statuses = []
    for body in (script, "kill -9 $$"):
        terminal = await Terminal.spawn(
            ["/bin/sh", "-c", body],
            environment=ENVIRONMENT,
            directory=TMP,
            size=SIZE,
            oom=OomCounter([small_group / "memory.oom_control"]),
        )
        statuses.append(await terminal.wait())

    assert statuses == [
        ExitStatus(code=None, signal=9, out_of_memory=True),
        ExitStatus(code=None, signal=9, out_of_memory=False),
    ]


async def test_a_kill_of_our_own_is_not_taken_for_a_want_of_memory(tmp_path: Path) -> None:
    file = tmp_path / "memory.events"
    file.write_text("oom_kill 0\n")
    terminal = await Terminal.spawn(
        ["sleep", "1000"],
        environment=ENVIRONMENT,
        directory=TMP,
        size=SIZE,
        oom=OomCounter([file]),
    )
    file.write_text("oom_kill 1\n")

    terminal.signal(9)

    assert await terminal.wait() == ExitStatus(code=None, signal=9, out_of_memory=False)
    assert os.path.exists(file)
