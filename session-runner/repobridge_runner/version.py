"""Which version the agent's program is, and whether it is one that can be trusted."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from repobridge.session.events import Event, Notice, Severity
from repobridge.telemetry import Logger
from repobridge_runner import store
from repobridge_runner.runner import Runner

OLDEST = (2, 1, 128)
"""Before it, advisories: a repository could change what the CLI runs."""
_SECONDS = 20.0
_KEY = "agent version"
_log = Logger("repobridge.runner")


def parse(text: str) -> tuple[int, ...] | None:
    """The numbers of the first version in a text."""
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", text)
    return tuple(int(number) for number in found.groups()) if found else None


async def ask(executable: str) -> str:
    """What a program says to `--version`; empty where it says nothing in time."""
    try:
        process = await asyncio.create_subprocess_exec(
            executable,
            "--version",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={"HOME": "/nonexistent", "PATH": "/usr/bin:/bin"},
        )
    except OSError:
        return ""
    try:
        async with asyncio.timeout(_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return ""
    return output.decode(errors="replace").strip()


async def find(runner: Runner) -> None:
    """Learns the agent's version, and refuses new work with one too old."""
    try:
        said = await _remembered(runner)
        numbers = parse(said)
        runner.agent_version = ".".join(map(str, numbers)) if numbers else ""
        if numbers is not None and numbers < OLDEST:
            await _refuse(runner)
    finally:
        runner.version_known.set()


async def _remembered(runner: Runner) -> str:
    """A program that did not change is not asked again: that costs 0.1 s of each start."""
    executable = runner.settings.agent.executable
    identity = _identity(Path(executable))
    known = await runner.journal.read(lambda db: store.get_meta(db, _KEY)) or {}
    if identity and known.get("program") == identity:
        return str(known["said"])
    said = await ask(executable)
    if said:
        told = {"program": identity, "said": said}
        await runner.journal.write(lambda tx: store.put_meta(tx, _KEY, told))
    return said


def _identity(program: Path) -> str:
    try:
        facts = program.stat()
    except OSError:
        return ""
    return f"{program} {facts.st_mtime_ns} {facts.st_size}"


async def _refuse(runner: Runner) -> None:
    oldest = ".".join(map(str, OLDEST))
    runner.refuse_agent(
        f"The Claude CLI is version {runner.agent_version}; RepoBridge needs {oldest} or later."
        " Install a newer one (npm install -g @anthropic-ai/claude-code) or name its path."
    )
    told = {"version": runner.agent_version, "oldest": oldest}
    _log.error("agent too old", version=runner.agent_version, oldest=oldest)
    await runner.log.append(Event(Notice(Severity.ERROR, "AgentTooOld", told)))
