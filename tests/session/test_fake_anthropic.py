"""The real CLI, in print mode, takes the imitation of its API for the real one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.fakes.anthropic import (
    HOSTILE,
    ApiError,
    FakeAnthropic,
    Gate,
    Message,
    NewChunker,
    Reset,
    SseError,
    Text,
    Usage,
    bash,
    demo_persona,
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


Ask: TypeAlias = Callable[..., Awaitable[Printed]]


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
            async with asyncio.timeout(120):
                out, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        lines = [json.loads(line) for line in out.decode().splitlines()]
        return Printed(process.returncode or 0, lines)

    return run


@pytest.fixture(autouse=True)
def nothing_is_refused(anthropic_api: FakeAnthropic) -> Iterator[None]:
    """The CLI sends nothing that the real API would not take."""
    yield
    assert anthropic_api.refusals == []


def shapes(api: FakeAnthropic) -> list[str]:
    """How each request wanted its answer."""
    return ["stream" if request.stream else "document" for request in api.requests]


@pytest.mark.parametrize("new_chunker", HOSTILE.values(), ids=HOSTILE.keys())
async def test_text_arrives_through_every_cut(
    new_chunker: NewChunker, ask: Ask, anthropic_api: FakeAnthropic
) -> None:
    anthropic_api.new_chunker = new_chunker
    anthropic_api.script(Text(MIXED, usage=Usage(11, 22, 33, 44)))
    printed = await ask("hello")
    assert (printed.code, printed.result["result"]) == (0, MIXED)
    usage = printed.result["usage"]
    names = ("input_tokens", "output_tokens", "cache_creation_input_tokens")
    assert [usage[name] for name in (*names, "cache_read_input_tokens")] == [11, 22, 33, 44]
    assert [request.last_user_text for request in anthropic_api.requests] == ["hello"]


async def test_a_prompt_arrives_as_it_was_sent(ask: Ask, anthropic_api: FakeAnthropic) -> None:
    printed = await ask(MIXED.strip())
    assert printed.result["result"] == f"echo: {MIXED.strip()}"
    assert anthropic_api.requests[0].session_id == printed.result["session_id"]


async def test_a_tool_is_used_and_its_result_comes_back(
    ask: Ask, anthropic_api: FakeAnthropic
) -> None:
    printed = await ask("run: echo $((40 + 2))", "--allowedTools", "Bash")
    assert printed.result["result"] == "tool said: 42"
    assert [request.round for request in anthropic_api.requests] == [0, 1]
    results = [result.text for result in anthropic_api.requests[1].tool_results]
    assert results == ["42"]


async def test_tools_side_by_side_come_back_together(
    ask: Ask, anthropic_api: FakeAnthropic
) -> None:
    both = Message([Text("Both."), bash("echo $((1 + 1))"), bash("echo $((2 + 2))")])
    anthropic_api.when("both", both, Text("done"))
    printed = await ask("both", "--allowedTools", "Bash")
    assert printed.result["result"] == "done"
    assert {result.text for result in anthropic_api.requests[1].tool_results} == {"2", "4"}


async def test_a_session_remembers_when_it_is_resumed(
    ask: Ask, anthropic_api: FakeAnthropic
) -> None:
    first = await ask("my number is 17")
    again = await ask("what did I say first?", "--resume", first.result["session_id"])
    assert again.result["result"] == "you said first: my number is 17"


async def test_an_overloaded_api_is_asked_again(ask: Ask, anthropic_api: FakeAnthropic) -> None:
    anthropic_api.script(ApiError(529), Text("there"))
    printed = await ask("hello")
    assert printed.result["result"] == "there"
    retries = [line for line in printed.lines if line.get("subtype") == "api_retry"]
    assert [retry["error_status"] for retry in retries] == [529]
    assert shapes(anthropic_api) == ["stream", "stream"]


@pytest.mark.parametrize(
    "fault",
    [
        Reset(after_bytes=1500),
        Reset(after_bytes=1500, graceful=True),
        Reset(after_bytes=1500, of=bash("echo " + "x" * 3000)),
        SseError(Text("half an answer")),
    ],
    ids=["reset", "early_end", "reset_in_a_tool_use", "error_event"],
)
async def test_a_broken_stream_falls_back_to_a_document(
    fault: Reset | SseError, ask: Ask, anthropic_api: FakeAnthropic
) -> None:
    anthropic_api.script(fault, Text("whole"))
    printed = await ask("hello")
    assert (printed.code, printed.result["result"]) == (0, "whole")
    first, second = shapes(anthropic_api)
    # A reset throws away what the CLI has not read yet: if that is all, it asks for a stream again.
    may_have_read_nothing = isinstance(fault, Reset) and not fault.graceful
    assert first == "stream"
    assert second in ({"document", "stream"} if may_have_read_nothing else {"document"})


async def test_a_stream_can_be_held_while_the_cli_waits(
    ask: Ask, anthropic_api: FakeAnthropic
) -> None:
    gate = Gate()
    anthropic_api.script(Text(["first half, ", gate, "second half"]))
    printed = asyncio.ensure_future(ask("hello"))
    await gate.reached()
    assert not printed.done()
    await gate.open()
    assert (await printed).result["result"] == "first half, second half"


async def test_the_demo_is_not_allowed_to_run_by_itself(
    ask: Ask, anthropic_api: FakeAnthropic
) -> None:
    anthropic_api.script(demo_persona)
    printed = await ask("How does this repository stand?")
    assert [denial["tool_name"] for denial in printed.result["permission_denials"]] == ["Bash"]
    assert "I did not get to run the command" in printed.result["result"]
