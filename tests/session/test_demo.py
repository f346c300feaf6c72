"""`make demo` without its setup: in a pipe and on a terminal, and what it leaves behind."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from aiohttp import ClientSession, ClientWebSocketResponse

from repobridge_runner.terminal import Terminal, WindowSize
from scripts.demo.sample import HISTORY
from tests.claude_home import ROOT
from tests.fakes.anthropic import FakeAnthropic
from tests.fakes.anthropic.demo import demo_persona
from tests.unit.runner.terminals import read_all, wait_for_output

DEMO = (sys.executable, "-m", "scripts.demo")
QUESTION = "How do the tests stand, and what changed lately?"
COMMAND = "python3 -m unittest -q 2>&1 | tail -n 5; git log --oneline -n 5"
PATIENCE_SECONDS = 150


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory for the demo's temporary files, short enough for sockets below it."""
    with tempfile.TemporaryDirectory(prefix="rb-") as directory:
        yield Path(directory)


@pytest.fixture
def environment(place: Path, claude_path: Path) -> dict[str, str]:
    """A person's environment, with what must not lead anywhere."""
    assert claude_path.exists()
    kept = ("PATH", "HOME", "XDG_CACHE_HOME", "REPOBRIDGE_CACHE")
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "LANG": "C.UTF-8",
        "TERM": "xterm",
        "TMPDIR": str(place),
        # Nothing listens there.
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:1",
        "HTTPS_PROXY": "http://127.0.0.1:1",
    }


def test_without_a_terminal_it_asks_one_question_and_approves_what_is_asked(
    place: Path, environment: dict[str, str]
) -> None:
    done = subprocess.run(
        DEMO,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    lines = done.stdout.decode().splitlines()
    assert (done.returncode, done.stderr.decode()) == (0, ""), done.stdout.decode()
    in_order = [
        "  ! ANTHROPIC_API_KEY is not set: an imitation answers, through the real CLI",
        f"› {QUESTION}",
        f"? The agent asks for permission: Bash: {COMMAND}",
        f"    command: {COMMAND}",
        "allow? › y",
        "**The repository is in good shape:** 6 tests ran, and all pass.",
        "The latest commits:",
    ]
    found = [line for line in lines if line in in_order]
    assert found == in_order
    assert any(line.startswith("  ✓ allowed by ") for line in lines)
    titles = [m[1] for line in lines if (m := re.fullmatch(r"- `[0-9a-f]{7,}` (.*)", line))]
    assert titles == [commit.message for commit in reversed(HISTORY)]
    assert left_behind(place) == ([], [])


async def test_with_a_key_it_asks_the_api_that_the_environment_names(
    place: Path, environment: dict[str, str]
) -> None:
    async with FakeAnthropic(handler=demo_persona) as api:
        own = {
            **environment,
            "ANTHROPIC_API_KEY": api.key,
            "ANTHROPIC_BASE_URL": api.base_url,
        }
        process = await asyncio.create_subprocess_exec(
            *DEMO,
            cwd=ROOT,
            env=own,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(PATIENCE_SECONDS):
            output, _ = await process.communicate()
        asked = [request for request in api.requests if QUESTION in request.last_user_text]
    assert process.returncode == 0, output.decode()
    assert "  ✓ ANTHROPIC_API_KEY is set: the real model answers\n" in output.decode()
    assert asked
    assert left_behind(place) == ([], [])


async def test_on_a_terminal_it_opens_the_chat_with_a_page_beside_it(
    place: Path, environment: dict[str, str]
) -> None:
    terminal = await on_a_terminal(environment)
    async with asyncio.timeout(PATIENCE_SECONDS):
        hints = await wait_for_output(terminal, b"/help \xc2\xb7 Ctrl-D")
        url = re.search(rb"http://127\.0\.0\.1:\d+/", hints)
        assert url is not None
        async with ClientSession() as browser, browser.ws_connect(f"{url[0].decode()}page") as page:
            await seen_on(page, lambda view: view["is_online"])
            terminal.write(f"{QUESTION}\r".encode())
            asked = await seen_on(page, lambda view: bool(buttons(view)))
            here = {"channel": asked["channel"], **buttons(asked)["Allow once"]}
            await page.send_json({"do": "click", **here})
            await seen_on(page, lambda view: "in good shape" in view["messages"][-1]["content"])
            await page.send_json({"do": "say", "channel": asked["channel"], "text": "Thank you!"})
            await wait_for_output(terminal, b"You: Thank you!")
        terminal.write(b"\x04")
        status = await terminal.wait()
        shown = await read_all(terminal)
    assert status.code == 0
    assert f"Ask, for example:   {QUESTION}" in shown
    assert "✓ allowed by You" in shown
    assert "**The repository is in good shape:** 6 tests ran, and all pass." in shown
    assert shown.endswith("Ending what the demo started …\n")
    assert left_behind(place) == ([], [])


async def test_a_signal_in_the_midst_of_a_turn_ends_everything_that_was_started(
    place: Path, environment: dict[str, str]
) -> None:
    process = await asyncio.create_subprocess_exec(
        *DEMO,
        cwd=ROOT,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for line in process.stdout:
            if line.startswith("● ".encode()):
                process.send_signal(signal.SIGINT)
                break
        await process.stdout.read()
        code = await process.wait()
    assert code == 130
    assert left_behind(place) == ([], [])


def test_what_is_missing_is_told_in_one_sentence(environment: dict[str, str]) -> None:
    done = subprocess.run(
        DEMO,
        cwd=ROOT,
        env={**environment, "PATH": "/nonexistent"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr.decode()) == (
        1,
        "make demo: git is not installed; install it with your package manager\n",
    )


async def seen_on(page: ClientWebSocketResponse, fits: Callable[[Any], bool]) -> Any:
    """What the page shows, once it fits."""
    while True:
        told = await page.receive_json()
        if "view" in told and fits(told["view"]):
            return told["view"]


def buttons(view: Any) -> dict[str, dict[str, str]]:
    """What can be clicked on for a decision, by its label."""
    return {
        each["label"]: {"message": message["id"], "custom_id": each["custom_id"]}
        for message in view["messages"]
        for row in message["rows"]
        for each in row
        if each["label"] != "Stop"
    }


async def on_a_terminal(environment: dict[str, str]) -> Terminal:
    return await Terminal.spawn(
        DEMO, environment=environment, directory=ROOT, size=WindowSize(columns=120, rows=50)
    )


def left_behind(place: Path) -> tuple[list[str], list[str]]:
    """What the demo should have cleared: files, and processes that know of its directory."""
    processes = []
    for process in psutil.process_iter():
        try:
            if any(str(place) in part for part in process.cmdline()):
                processes.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return sorted(path.name for path in place.iterdir()), processes
