"""A terminal with real processes on it: floods, deaf children, followers, and the end."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import signal
import time
from pathlib import Path

import pytest

from repobridge.process import processes
from repobridge_runner.terminal import (
    Dropped,
    ExitStatus,
    Terminal,
    TerminalClosed,
    TerminalFull,
    WindowSize,
)
from tests.unit.runner.terminals import (
    ENVIRONMENT,
    SIZE,
    read_all,
    run_shell,
    start_shell,
    wait_for_output,
)

FLOOD = "head -c {count} /dev/zero | base64 -w {width}"
RAW = "stty raw -echo; echo READY; "


async def follow(
    terminal: Terminal, *, until: asyncio.Event | None = None
) -> list[bytes | Dropped]:
    """Everything that a viewer gets; of the first item it has enough until something happens."""
    items = []
    with terminal.viewer() as viewer:
        async for item in viewer:
            items.append(item)
            if until is not None:
                await until.wait()
    return items


def size_of(items: list[bytes | Dropped]) -> int:
    return sum(item.bytes if isinstance(item, Dropped) else len(item) for item in items)


@pytest.mark.parametrize("width", [76, 0], ids=["lines", "one endless line"])
async def test_a_hundred_megabytes_pass_and_other_tasks_go_on(width: int) -> None:
    passed: list[int] = []
    over = asyncio.Event()

    async def another_session() -> None:
        while True:
            before = terminal.output_bytes
            await asyncio.sleep(0)
            passed.append(terminal.output_bytes - before)

    terminal = await start_shell(FLOOD.format(count=75_000_000, width=width))
    other = asyncio.create_task(another_session())
    fast = asyncio.create_task(follow(terminal))
    slow = asyncio.create_task(follow(terminal, until=over))

    status = await terminal.wait()

    over.set()
    other.cancel()
    lines = -(-100_000_000 // 76) if width else 0
    expected = 100_000_000 + 2 * lines
    assert (status.code, terminal.output_bytes) == (0, expected)
    assert size_of(await fast) == expected
    slow_items = await slow
    assert size_of(slow_items) == expected
    assert any(isinstance(item, Dropped) for item in slow_items)
    # How long a turn of the others is waited for depends on the machine; on how much does not.
    assert max(passed) <= 1 << 20


async def test_the_last_output_is_kept_when_the_reader_comes_late() -> None:
    terminal = await start_shell("head -c 60000 /dev/zero | tr '\\0' x; printf END")
    # The loop stands still while the program writes and ends.
    time.sleep(0.3)

    output = await read_all(terminal)

    assert output == "x" * 60000 + "END"


async def test_broken_characters_and_escape_sequences_pass_unchanged(tmp_path: Path) -> None:
    wild = os.urandom(200_000) + b"\xff\xc3\x1b[\x1b]0;\xe2\x82\x1bP\x9b\0\x7f" * 1000
    (tmp_path / "wild").write_bytes(wild)
    terminal = await start_shell("stty raw; cat wild", directory=tmp_path, ring_bytes=1 << 20)
    seen: list[bytes] = []
    terminal.observe(seen.append)

    await terminal.wait()

    assert b"".join(seen) == wild


async def test_observers_get_everything_until_they_stop() -> None:
    terminal = await start_shell(RAW + "cat")
    seen: list[bytes] = []
    stop = terminal.observe(seen.append)
    await wait_for_output(terminal, b"READY")
    stop()
    stop()
    await terminal.write_all(b"more")
    await wait_for_output(terminal, b"more")

    assert b"".join(seen).endswith(b"READY\r\n") or b"".join(seen).endswith(b"READY\n")
    await terminal.end(grace_seconds=60)


async def test_input_of_any_size_arrives_whole() -> None:
    data = os.urandom(5_000_000)
    terminal = await start_shell(RAW + f"head -c {len(data)} | sha256sum")
    await wait_for_output(terminal, b"READY")

    await terminal.write_all(data)

    assert hashlib.sha256(data).hexdigest() in await read_all(terminal)


async def test_two_writers_at_once_do_not_mix() -> None:
    one, two = b"1" * 2_000_000, b"2" * 2_000_000
    terminal = await start_shell(RAW + "head -c 4000000 | tr -s 12 | cat -v; sleep 0")
    await wait_for_output(terminal, b"READY")

    await asyncio.gather(terminal.write_all(one), terminal.write_all(two))

    assert (await read_all(terminal)).endswith("12")


async def test_a_child_that_never_reads_blocks_nobody() -> None:
    terminal = await start_shell(RAW + "exec sleep 1000")
    await wait_for_output(terminal, b"READY")
    used = time.thread_time()

    terminal.write(bytes(1 << 20))
    with pytest.raises(TerminalFull):
        terminal.write(bytes(1 << 20))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await terminal.drain()

    assert time.thread_time() - used < 0.2, "waiting costs no processor time"
    draining = asyncio.ensure_future(terminal.drain())
    await terminal.end(grace_seconds=60)
    with pytest.raises(TerminalClosed):
        await draining
    with pytest.raises(TerminalClosed):
        terminal.write(b"x")


async def test_a_new_size_is_seen_by_the_child() -> None:
    script = "trap 'stty size; exit' WINCH; stty size; while :; do sleep 0.05; done"
    terminal = await start_shell(script)
    await wait_for_output(terminal, f"{SIZE.rows} {SIZE.columns}".encode())

    terminal.resize(WindowSize(columns=132, rows=43))

    assert await read_all(terminal) == f"{SIZE.rows} {SIZE.columns}\n43 132\n"
    terminal.resize(SIZE)  # harmless after the end


async def test_an_absurd_size_is_kept_within_bounds() -> None:
    terminal = await start_shell(RAW + "head -c 1; stty size")
    await wait_for_output(terminal, b"READY")

    terminal.resize(WindowSize(columns=1_000_000, rows=-5))
    terminal.write(b"x")

    assert (await read_all(terminal)).endswith("1 1000\n")


async def test_a_late_viewer_begins_with_the_recent_past() -> None:
    terminal = await start_shell(RAW + "seq 1 1000; echo PAST; cat", ring_bytes=1000)
    await wait_for_output(terminal, b"PAST")

    with terminal.viewer() as viewer:
        past = await anext(viewer)
        terminal.write(b"now")
        now = await anext(viewer)
    await terminal.end(grace_seconds=60)

    assert isinstance(past, bytes)
    assert past.endswith(b"\n999\n1000\nPAST\n")
    assert (len(past), now) == (1000, b"now")


async def test_after_the_end_a_viewer_gets_the_past_and_ends() -> None:
    terminal = await start_shell("echo gone")
    await terminal.wait()

    assert await follow(terminal) == [b"gone\r\n"]


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("exit 0", ExitStatus(code=0, signal=None, out_of_memory=False)),
        ("exit 143", ExitStatus(code=143, signal=None, out_of_memory=False)),
        ("kill -9 $$", ExitStatus(code=None, signal=9, out_of_memory=False)),
    ],
)
async def test_the_exit_is_told_as_it_was(script: str, status: ExitStatus) -> None:
    terminal = await start_shell(script)

    waits = list(await asyncio.gather(terminal.wait(), terminal.wait()))

    assert waits == [status, status]


async def test_end_lets_the_child_finish_within_the_grace() -> None:
    terminal = await start_shell(
        "trap 'echo bye; exit 7' TERM; echo READY; while :; do sleep 0.02; done"
    )
    await wait_for_output(terminal, b"READY")

    status = await terminal.end(grace_seconds=20)

    assert status == ExitStatus(code=7, signal=None, out_of_memory=False)
    assert (await read_all(terminal)).endswith("bye\n")


def own_time(seconds: int) -> str:
    """How long to sleep, as no other test does, nor the same one of another run."""
    return f"{seconds}.{os.getpid()}"


def sleepers(seconds: str) -> list[int]:
    """Which processes sleep for a time that only one test uses."""
    found = []
    for process in processes():
        try:
            words = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if seconds.encode() in words and not process.is_zombie:
            found.append(process.pid)
    return found


ESCAPES = """
    trap '' TERM HUP INT
    sleep {n} & setsid sleep {n} &
    (setsid sh -c 'sleep {n} & sleep {n}' &)
    (setsid env -i sleep {n} &)
    while [ "$(pgrep -cx -f 'sleep {n}')" -lt 5 ]; do sleep 0.02; done
    echo READY
    {then}
"""


async def test_end_kills_what_ignores_signals_and_left_the_session() -> None:
    # env -i and a lost parent together would leave our sight; here the shell still stands above.
    script = ESCAPES.replace("(setsid env -i sleep {n} &)", "setsid env -i sleep {n} &")
    n = own_time(86311)
    terminal = await start_shell(script.format(n=n, then="while :; do sleep 0.05; done"))
    await wait_for_output(terminal, b"READY")
    assert len(sleepers(n)) == 5

    status = await terminal.end(grace_seconds=0.1)

    assert status == ExitStatus(code=None, signal=9, out_of_memory=False)
    assert sleepers(n) == []


async def test_a_child_that_ends_by_itself_leaves_nothing_behind() -> None:
    script = ESCAPES.replace("    (setsid env -i sleep {n} &)\n", "").replace("-lt 5", "-lt 4")
    n = own_time(86312)
    terminal = await start_shell(script.format(n=n, then="exit 3"))

    status = await terminal.wait()

    assert (status.code, sleepers(n)) == (3, [])


async def test_a_kernel_without_pidfds_is_served_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    n = own_time(86313)
    terminal = await start_shell(f"setsid sleep {n} & trap '' TERM; echo READY; sleep {n}")
    await wait_for_output(terminal, b"READY")

    status = await terminal.end(grace_seconds=0.1)

    assert status == ExitStatus(code=None, signal=9, out_of_memory=False)
    assert sleepers(n) == []


async def test_two_ends_at_once_tell_the_same() -> None:
    terminal = await start_shell("exec sleep 1000")

    ends = list(await asyncio.gather(*(terminal.end(grace_seconds=60) for _ in range(3))))

    assert ends == [ExitStatus(code=None, signal=signal.SIGTERM, out_of_memory=False)] * 3


async def test_a_signal_after_the_end_goes_nowhere() -> None:
    terminal = await start_shell("exit 0")
    await terminal.wait()

    terminal.signal(signal.SIGKILL)

    assert await terminal.end(grace_seconds=1) == ExitStatus(0, None, False)


async def test_a_signal_reaches_the_whole_group() -> None:
    terminal = await start_shell(
        "trap 'echo caught; exit' USR1; echo READY; while :; do sleep 0.02; done"
    )
    await wait_for_output(terminal, b"READY")

    terminal.signal(signal.SIGUSR1)

    assert (await read_all(terminal)).endswith("caught\n")


async def test_no_descriptor_is_left_open() -> None:
    await run_shell("true")
    gc.collect()  # what earlier tests left goes now, not in between
    before = set(os.listdir("/proc/self/fd"))

    for _ in range(5):
        await run_shell("seq 1 100")

    assert set(os.listdir("/proc/self/fd")) <= before


async def test_ten_flooding_terminals_do_not_mix() -> None:
    terminals = await asyncio.gather(
        *(
            Terminal.spawn(
                ["sh", "-c", f"while :; do echo {n}; done"],
                environment=ENVIRONMENT,
                directory=Path("/"),
                size=SIZE,
            )
            for n in range(10)
        )
    )
    for number, terminal in enumerate(terminals):
        await wait_for_output(terminal, f"{number}\r\n".encode())

    statuses = await asyncio.gather(*(terminal.end(grace_seconds=60) for terminal in terminals))

    assert [status.signal for status in statuses] == [signal.SIGTERM] * 10
    for number, terminal in enumerate(terminals):
        assert set((await read_all(terminal)).split()) == {str(number)}
