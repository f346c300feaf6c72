"""The real CLI, in print mode, takes the imitation of its API for the real one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.anthropic import (
    FakeAnthropic,
    Text,
)

MIXED = (
    'Grüße, 世界! 👩‍👩‍👧‍👦 é \\u0000 "quoted" <b>&amp;</b>\n\n'
    "data: not an event\n\n```py\nx = 1\n```\n"
) * 3


@dataclass(frozen=True)
class Printed:
    """What `claude -p` wrote, line by line."""

    code: int
    lines: list[dict[str, Any]]

    @property
    def result(self) -> dict[str, Any]:
        return self.lines[-1]


Ask = Callable[..., Any]


@pytest.fixture
def ask(
    claude_path: Path,
    claude_env: Callable[..., dict[str, str]],
    anthropic_api: FakeAnthropic,
    tmp_path: Path,
) -> Ask:
    """Runs the CLI for one prompt in a folder of its own."""

    async def run(prompt: str, *args: str) -> Printed:
        work = tmp_path / "work"
        work.mkdir(exist_ok=True)
        process = await asyncio.create_subprocess_exec(
            str(claude_path),
            *("-p", prompt, "--output-format", "stream-json", "--verbose", *args),
            cwd=work,
            env=claude_env(tmp_path / "home", anthropic_api, trusted=[work]),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            limit=2**24,
        )
        try:
            async with asyncio.timeout(60):
                out, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        lines = [json.loads(line) for line in out.decode().splitlines()]
        return Printed(process.returncode or 0, lines)

    return run


async def test_text_arrives(ask: Ask, anthropic_api: FakeAnthropic) -> None:
    anthropic_api.script(Text(MIXED))
    printed = await ask("hello")
    assert (printed.code, printed.result["result"]) == (0, MIXED)
    assert anthropic_api.refusals == []


async def test_tool_round_trip(ask: Ask, anthropic_api: FakeAnthropic) -> None:
    printed = await ask("run: echo $((40 + 2))", "--allowedTools", "Bash")
    assert printed.result["result"] == "tool said: 42"
    assert anthropic_api.refusals == []
