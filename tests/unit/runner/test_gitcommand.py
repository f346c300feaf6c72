"""Git runs with an environment of its own, ends in time, and leaves nobody behind."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import psutil
import pytest

from repobridge.session.events import Phase
from repobridge_runner.gitcommand import Git, GitError, make_environment
from repobridge_runner.gitprogress import ProgressLines
from repobridge_runner.redact import Redactor


def git(tmp_path: Path, *, script: str = "", **changes: str) -> Git:
    """Git; with a script, that one stands in for git's executable."""
    base = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **changes}
    if script:
        bin_dir = tmp_path / "bin"
        bin_dir.mkdir()
        (bin_dir / "git").write_text(f"#!/bin/sh\n{script}\n")
        (bin_dir / "git").chmod(0o755)
        base["PATH"] = f"{bin_dir}:{base['PATH']}"
    return Git(make_environment(base, protocols=("https",)), redactor=Redactor(["hunter22"]))


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}


async def gone(pid: int) -> None:
    async with asyncio.timeout(60):
        while alive(pid):
            await asyncio.sleep(0.01)


async def test_the_environment_is_built(tmp_path: Path) -> None:
    runs = git(tmp_path, script="env", GIT_DIR="/x", SECRET="y", https_proxy="p", SSL_CERT_FILE="c")
    found = dict(
        line.split("=", 1) for line in (await runs.run("x", directory=tmp_path)).text.splitlines()
    )
    assert {"GIT_DIR", "SECRET"}.isdisjoint(found)
    assert (found["https_proxy"], found["SSL_CERT_FILE"]) == ("p", "c")
    assert (found["GIT_TERMINAL_PROMPT"], found["GIT_ALLOW_PROTOCOL"]) == ("0", "https")


async def test_only_listed_protocols_are_spoken(tmp_path: Path) -> None:
    with pytest.raises(GitError) as caught:
        await git(tmp_path).run("ls-remote", f"file://{tmp_path}", directory=tmp_path)
    assert caught.value.last_line == "fatal: transport 'file' not allowed"
    with pytest.raises(GitError) as caught:
        await git(tmp_path).run("ls-remote", "ext::touch x", directory=tmp_path)
    assert caught.value.last_line == "fatal: transport 'ext' not allowed"


async def test_a_failure_carries_the_last_line_redacted(tmp_path: Path) -> None:
    script = "printf 'Cloning\\nfatal: no hunter22 here\\nadvice\\n' >&2; exit 128"
    with pytest.raises(GitError) as caught:
        await git(tmp_path, script=script).run("clone", directory=tmp_path)
    assert str(caught.value) == "git clone: fatal: no [redacted] here"
    assert caught.value.code == 128


async def test_a_missing_git_is_an_error_of_ours(tmp_path: Path) -> None:
    runs = Git({"PATH": str(tmp_path)})
    with pytest.raises(GitError) as caught:
        await runs.run("status", directory=tmp_path)
    assert caught.value.last_line.startswith("could not be started")


async def test_a_git_that_hangs_ends_at_its_deadline_with_its_children(tmp_path: Path) -> None:
    script = "trap '' TERM; sleep 1000 & echo $! > child; echo $$ > self; wait; sleep 1000"
    runs = git(tmp_path, script=script)
    names, deadlines = [tmp_path / "child", tmp_path / "self"], iter((0.5, 2.0, 8.0, 30.0))
    while not all(name.exists() and name.read_text() for name in names):  # it came that far
        with pytest.raises(GitError) as caught:
            await runs.run("fetch", directory=tmp_path, deadline_seconds=next(deadlines))
        assert caught.value.code is None
    for name in names:
        await gone(int(name.read_text()))


async def test_a_cancelled_git_is_gone_with_its_children(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "started")
    script = "sleep 1000 & echo $! > child; echo > started; wait"
    task = asyncio.create_task(git(tmp_path, script=script).run("fetch", directory=tmp_path))
    await asyncio.to_thread((tmp_path / "started").read_bytes)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await gone(int((tmp_path / "child").read_text()))


async def test_a_git_that_is_cancelled_while_it_starts_is_gone_with_its_children(
    tmp_path: Path,
) -> None:
    os.mkfifo(tmp_path / "started")
    script = "sleep 1000 & echo $! > child; echo > started; wait"
    task = asyncio.create_task(git(tmp_path, script=script).run("fetch", directory=tmp_path))
    before = set(psutil.Process().children())
    while set(psutil.Process().children()) <= before:
        await asyncio.sleep(0)
    # The loop stands still: for the task the process has not started yet.
    (tmp_path / "started").read_bytes()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await gone(int((tmp_path / "child").read_text()))


async def test_output_beyond_the_bound_ends_the_command(tmp_path: Path) -> None:
    runs = git(tmp_path, script="echo $$ > self; yes")
    result = await runs.run("log", directory=tmp_path, output_bytes=1000)
    assert (len(result.stdout), result.cut) == (1000, True)
    await gone(int((tmp_path / "self").read_text()))


async def test_a_flood_on_stderr_is_bounded(tmp_path: Path) -> None:
    script = "head -c 20000000 /dev/zero | tr '\\0' x >&2"
    result = await git(tmp_path, script=script).run("log", directory=tmp_path)
    assert len(result.stderr) == 64 << 10


@pytest.mark.parametrize("keeps", [">/dev/null", "2>/dev/null", ""])
async def test_a_helper_that_stays_behind_does_not_hold_us(tmp_path: Path, keeps: str) -> None:
    script = f"echo said; (sleep 1000 {keeps} & echo $! > child); exit 0"
    async with asyncio.timeout(60):
        result = await git(tmp_path, script=script).run("fetch", directory=tmp_path)
    assert (result.code, result.stdout) == (0, b"said\n")
    os.kill(int((tmp_path / "child").read_text()), 9)


async def test_lines_arrive_as_they_come(tmp_path: Path) -> None:
    heard: list[str] = []
    script = r"printf 'a\rb\r' >&2; printf 'c\n\nd' >&2"
    await git(tmp_path, script=script).run("x", directory=tmp_path, on_line=heard.append)
    assert heard == ["a", "b", "c"]


def test_progress_is_told_when_it_says_something_new() -> None:
    heard: list[tuple[Phase, str]] = []
    lines = ProgressLines(Phase.CLONING, lambda *each: heard.append(each))
    for line in [
        "Cloning into 'x'...",
        "remote: Enumerating objects: 12, done.",
        "remote: Counting objects:  50% (1/2)",
        "Receiving objects:  41% (41/100), 1.00 MiB | 2.00 MiB/s",
        "Receiving objects:  41% (41/100), 1.10 MiB | 2.00 MiB/s",
        "Receiving objects: 100% (100/100), 2.00 MiB, done.",
        "Receiving objects: 100% (100/100), 2.00 MiB, done.",
        "warning: anything",
    ]:
        lines(line)
    assert heard == [
        (Phase.CLONING, "Enumerating objects"),
        (Phase.CLONING, "Counting objects: 50 %"),
        (Phase.CLONING, "Receiving objects: 41 %"),
        (Phase.CLONING, "Receiving objects: 100 %"),
    ]
