"""Runners that meet faults: with a scripted agent, or with their own end built in."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from repobridge.session.events import Event, TurnEnded
from repobridge_runner.settings import AgentSettings, RunnerSettings
from repobridge_runner.tree import TREE_VARIABLE
from tests.fakes.anthropic import FakeAnthropic, MessagesRequest, Reply, echo
from tests.fakes.scripted_claude.installed import ScriptedClaude
from tests.live_runner import SETTINGS, LiveRunner

KILLED_AT = Path(__file__).parents[1] / "programs" / "killed_at.py"
CONTINUE = "Continue from where you left off."
"""What the CLI tells the model when it takes up a turn that was cut."""


class FaultyRunner(LiveRunner):
    """A runner that may be doomed to die at a commit, at its next start only."""

    def __init__(
        self, settings: RunnerSettings, *, environment: Mapping[str, str], home: Path
    ) -> None:
        super().__init__(settings, environment=environment, home=home)
        self._doom: list[str] = []
        self.count = home / "commits"

    def doom(self, *, at: int, when: str, linger: float = 0.0) -> None:
        """The next process kills itself at this commit."""
        self._doom = ["--at", str(at), "--when", when, "--linger", str(linger)]
        self._doom += ["--count", str(self.count)]

    def command(self, config: Path) -> list[str]:
        """How the runner is started: once doomed, then as ever."""
        doom, self._doom = self._doom, []
        if not doom:
            return super().command(config)
        return [sys.executable, str(KILLED_AT), *doom, "--", "--config", str(config)]

    async def died(self) -> None:
        """Waits for its end, and lets the connection go."""
        await self._gone()


def make_runner(
    directory: Path,
    home: Path,
    *,
    agent: Mapping[str, Any],
    environment: Mapping[str, str] | None = None,
    **settings: Any,
) -> FaultyRunner:
    """A runner that is not started yet."""
    home.mkdir(parents=True, exist_ok=True)
    whole = RunnerSettings(
        bridge_uid=str(uuid.uuid4()),
        directory=directory,
        state_dir=settings.pop("state_dir", home / "state"),
        socket=home / "run" / "runner.sock",
        agent=replace(AgentSettings(), **agent),
        **{**SETTINGS, **settings},
    )
    return FaultyRunner(
        whole,
        environment={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LANG": "C.UTF-8",
            **(environment or {}),
        },
        home=home,
    )


@asynccontextmanager
async def scripted_runner(
    tmp_path: Path,
    scripted: ScriptedClaude,
    *,
    agent: Mapping[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[FaultyRunner]:
    """A running runner in an empty directory, whose agent is the scripted one."""
    directory = tmp_path / "directory"
    directory.mkdir(exist_ok=True)
    whole = {**scripted.agent, **(agent or {})}
    runner = make_runner(directory, tmp_path / "home", agent=whole, **settings)
    await runner.start()
    try:
        yield runner
    finally:
        await runner.stop()


def ends_of(events: list[Event]) -> Counter[str]:
    """How many ends each turn has."""
    return Counter(event.turn_id for event in events if isinstance(event.body, TurnEnded))


def assert_one_end_each(runner: LiveRunner) -> None:
    """No turn ended twice, and the log has no gap."""
    ends = ends_of(runner.events)
    assert set(ends.values()) <= {1}, ends
    sequences = [event.sequence for event in runner.events]
    assert sequences == list(range(1, len(sequences) + 1))


def agent_of(runner: LiveRunner) -> psutil.Process:
    """The one agent process of a runner."""
    agents = agents_of(runner)
    assert len(agents) == 1, agents
    return agents[0]


def agents_of(runner: LiveRunner) -> list[psutil.Process]:
    """The agent processes of a runner: the launcher marks them."""
    children = psutil.Process(runner.process.pid).children()
    return [child for child in children if _is_agent(child)]


def _is_agent(process: psutil.Process) -> bool:
    try:
        return TREE_VARIABLE in process.environ()
    except psutil.Error:
        return False  # it is gone, or was never anything but a zombie


def kill_agent(runner: LiveRunner) -> None:
    """SIGKILLs the one agent, as the kernel or an administrator would."""
    agent_of(runner).send_signal(signal.SIGKILL)


async def eventually(condition: Callable[[], bool], *, seconds: float = 90.0) -> None:
    """Waits for something that no event tells, such as a process that goes."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def memory_of(pid: int) -> int:
    """The resident memory of a process in bytes."""
    resident: int = psutil.Process(pid).memory_info().rss
    return resident


def prompt(text: str) -> str:
    return f"[Ann via terminal]\n{text}"


def when(api: FakeAnthropic, text: str, reply: Callable[[MessagesRequest], Reply]) -> None:
    """Answers a prompt, and also the word with which the CLI goes on with its turn."""

    def answer(request: MessagesRequest) -> Reply:
        asked = [each for each in request.prompts if each != CONTINUE]
        return reply(request) if asked[-1] == prompt(text) else echo(request)

    api.script(answer)


async def written(runner: LiveRunner, text: str) -> None:
    """Waits until a prompt stands in the agent's own transcript: about 0.2 s after it was taken."""
    folder = runner.settings.state_dir / "agents"
    line = json.dumps(prompt(text))

    def stands() -> bool:
        return any(line in path.read_text() for path in folder.glob("*/projects/*/*.jsonl"))

    await eventually(stands)
