"""What a program finds when the launcher has started it."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from repobridge_runner.confinement import narrowed_directories
from repobridge_runner.launch import allowed_entries, ancestors, landlock_abi
from repobridge_runner.terminal import ExitStatus, LaunchFailed, Terminal
from tests.unit.runner.terminals import ENVIRONMENT, SIZE, TMP, read_all, run_shell, start_shell

PROGRAM = Path(__file__).with_name("parent_program.py")
ROOT = Path(__file__).parents[3]
needs_landlock = pytest.mark.skipif(landlock_abi() < 1, reason="the kernel has no Landlock")


async def test_the_program_leads_a_session_on_its_own_terminal() -> None:
    terminal = await start_shell('ps -o pid=,sid=,pgid=,tpgid= -p $$; tty; echo "$PPID"')

    lines = (await read_all(terminal)).splitlines()

    assert lines[0].split() == [str(terminal.pid)] * 4
    assert lines[1].startswith("/dev/pts/")
    assert lines[2] == str(os.getpid())


async def test_the_program_gets_the_given_environment_and_the_mark_alone() -> None:
    lines = sorted((await run_shell("exec env")).splitlines())

    expected = [f"{name}={value}" for name, value in sorted(ENVIRONMENT.items())]
    assert [line for line in lines if not line.startswith(("REPOBRIDGE_TERMINAL=", "PWD="))] == (
        expected
    )


async def test_the_program_inherits_no_descriptor_but_its_terminal() -> None:
    inherited = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(inherited, True)
    try:
        names = (await run_shell("echo /proc/$$/fd/*")).split()
    finally:
        os.close(inherited)

    # The shell itself opens one for the expansion in some versions.
    assert [Path(name).name for name in names][:3] == ["0", "1", "2"]
    assert str(inherited) not in [Path(name).name for name in names]


async def test_signals_are_at_their_defaults_and_none_is_blocked() -> None:
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    ignored = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    try:
        lines = (await run_shell("exec cat /proc/self/status")).splitlines()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        signal.signal(signal.SIGUSR2, ignored)

    found = dict(line.split(":\t", 1) for line in lines if line.startswith("Sig"))
    # 32 and 33 are the C library's own: it lets nobody set them, and they may be inherited ignored.
    ours = ~(1 << 31 | 1 << 32)
    assert {name: int(found[name], 16) & ours for name in ("SigBlk", "SigIgn", "SigCgt")} == {
        "SigBlk": 0,
        "SigIgn": 0,
        "SigCgt": 0,
    }


async def test_a_crash_leaves_no_core(tmp_path: Path) -> None:
    terminal = await start_shell("kill -SEGV $$", directory=tmp_path)

    status = await terminal.wait()

    assert status == ExitStatus(code=None, signal=signal.SIGSEGV, out_of_memory=False)
    assert list(tmp_path.iterdir()) == []


async def test_words_and_directory_arrive_as_they_are(tmp_path: Path) -> None:
    directory = tmp_path / "mit Leerzeichen ü"
    directory.mkdir()
    terminal = await Terminal.spawn(
        ["printf", "%s|", "a b", "", "$HOME", "ü\udcff"],
        environment=ENVIRONMENT,
        directory=directory,
        size=SIZE,
    )
    assert await read_all(terminal) == "a b||$HOME|ü\ufffd|"
    assert await run_shell("pwd", directory=directory) == f"{directory}\n"


@pytest.mark.parametrize(
    ("name", "content", "mode", "sentence"),
    [
        ("missing", None, 0, "There is no such file."),
        ("plain", "#!/bin/sh\n", 0o644, "It is not executable for this user, or a directory"),
        ("text", "hello", 0o755, "It is no program for this machine: wrong architecture, or"),
        ("script", "#!/no/such/shell\n", 0o755, "The interpreter that it names is missing, or"),
        ("elf", "\x7fELF\x02\x01\x01" + "\0" * 9 + "\x02\0\xff\xff", 0o755, "It is no program"),
    ],
)
async def test_what_cannot_be_executed_fails_with_a_sentence(
    tmp_path: Path, name: str, content: str | None, mode: int, sentence: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content.encode("latin-1"))
        path.chmod(mode)

    before = _children()
    with pytest.raises(LaunchFailed) as caught:
        await _spawn([str(path)])

    assert caught.value.path == path
    assert caught.value.sentence.startswith(sentence)
    assert _children() <= before


async def test_a_name_that_path_does_not_hold_and_a_missing_directory_fail() -> None:
    with pytest.raises(LaunchFailed, match=r"^nope: There is no such program in PATH\.$"):
        await _spawn(["nope"])
    with pytest.raises(LaunchFailed, match=r"^/no/where: No such file or directory\.$"):
        await _spawn(["true"], directory=Path("/no/where"))


async def test_cancelling_a_launch_leaves_no_process() -> None:
    before = _children()
    launching = asyncio.ensure_future(_spawn(["sleep", "1000"]))
    await asyncio.sleep(0)
    launching.cancel()

    with pytest.raises(asyncio.CancelledError):
        await launching

    assert _children() <= before


def test_the_program_dies_with_the_process_that_started_it() -> None:
    with subprocess.Popen(
        [sys.executable, str(PROGRAM)],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": f"{ROOT}/core:{ROOT}/session-runner", "PATH": os.environ["PATH"]},
    ) as parent:
        assert parent.stdout is not None
        child = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
    poller = select.poll()
    poller.register(child, select.POLLIN)

    assert poller.poll(10_000) == [(child, select.POLLIN)]
    os.close(child)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "state/deep").mkdir(parents=True)
    (tmp_path / "state/deep/log").write_text("secret\n")
    (tmp_path / "work/sub").mkdir(parents=True)
    (tmp_path / "existing").write_text("known\n")
    return tmp_path


@needs_landlock
@pytest.mark.parametrize(
    "attempt",
    [
        "cat {state}/deep/log",
        'sh -c "setsid cat {state}/deep/log"',
        "echo x > {state}/deep/log",
        "echo x >> {state}/deep/log",
        "truncate -s 0 {state}/deep/log",
        "touch {state}/new",
        "mkdir {state}/new",
        "mkfifo {state}/new",
        "ln -s / {state}/new",
        "rm {state}/deep/log",
        "mv {state}/deep/log {state}/deep/other",
        "mv {state}/deep .",
        "mv {state} .",
        "mv {state} {state}2",
        "ln {state}/deep/log link && cat link",
        "ln -s {state}/deep/log link && cat link",
        "cat /proc/self/root{state}/deep/log",
        "cd .. && cat state/deep/log",
    ],
)
async def test_a_closed_directory_is_closed(tree: Path, attempt: str) -> None:
    state = tree / "state"
    script = f"{{ {attempt.format(state=state)}; }} 2>&1 && echo DONE"

    output = await run_shell(script, directory=tree / "work", closed=[state])

    assert "DONE" not in output
    assert "secret" not in output
    assert (state / "deep/log").read_text() == "secret\n"
    assert sorted(path.name for path in state.rglob("*")) == ["deep", "log"]


@needs_landlock
async def test_beside_a_closed_directory_work_goes_on(tree: Path) -> None:
    script = f"""
        set -e
        echo new > file; cat file; mkdir -p a/b; mv file a/b/; rm -r a
        cat {tree}/existing; echo more >> {tree}/existing
        git init -q repository; rm -rf repository
        file=$(mktemp -p {tree}/work/sub); mv "$file" moved; ln moved again; rm moved again
        ls {tree} / > /dev/null
        sh -c 'echo below > /dev/null'; echo DONE
    """
    output = await run_shell(script, directory=tree / "work", closed=[tree / "state"])

    assert output == "new\nknown\nDONE\n"
    assert (tree / "existing").read_text() == "known\nmore\n"


@needs_landlock
async def test_the_price_is_paid_in_the_ancestors_alone(tree: Path) -> None:
    script = f"echo x 2>&1 > {tree}/new || true; mkdir {tree}/new; echo x > {tree}/work/new"

    await run_shell(script, directory=tree / "work", closed=[tree / "state"])

    assert sorted(path.name for path in tree.iterdir()) == ["existing", "state", "work"]
    assert (tree / "work/new").exists()
    assert tree in narrowed_directories([tree / "state"])
    assert tree / "work" not in narrowed_directories([tree / "state"])


@pytest.mark.parametrize(
    ("directory", "program", "sentence"),
    [
        ("state/deep", "true", "which is closed to the program"),
        ("work", "{tree}/state/tool", "which is closed to the program"),
        (".", "true", "could create nothing directly in it"),
    ],
)
async def test_a_place_that_closing_would_break_is_refused(
    tree: Path, directory: str, program: str, sentence: str
) -> None:
    with pytest.raises(LaunchFailed, match=sentence):
        await _spawn(
            [program.format(tree=tree)],
            directory=tree / directory,
            closed=[tree / "state"],
        )


def test_everything_beside_the_way_down_is_allowed(tree: Path) -> None:
    (tree / "state2").mkdir()
    closed = [os.fsencode(tree / "state/deep"), os.fsencode(tree / "state2")]

    inside = {entry for entry in allowed_entries(closed) if entry.startswith(os.fsencode(tree))}

    assert inside == {os.fsencode(tree / name) for name in ("work", "existing")}
    assert os.fsencode(tree / "state") in ancestors(closed)
    assert b"/" in ancestors(closed)


async def _spawn(
    argv: Sequence[str], *, directory: Path = TMP, closed: Sequence[Path] = ()
) -> Terminal:
    return await Terminal.spawn(
        argv, environment=ENVIRONMENT, directory=directory, size=SIZE, closed_directories=closed
    )


def _children() -> set[str]:
    """The pids of our children; some of other tests may yet go."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())
