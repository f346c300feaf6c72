"""The ready-made scenarios remember, run commands, and say what they are."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.fakes.anthropic import Kind, MessagesRequest, Text, ToolUse, demo_persona, echo
from tests.fakes.anthropic.demo import COMMAND
from tests.fakes.anthropic.replies import Reply
from tests.fakes.anthropic.scenarios import housekeeping

ROOT = Path(__file__).parents[3]


def request(*contents: object, **headers: str) -> MessagesRequest:
    """User and assistant take turns."""
    messages = [
        {"role": ("user", "assistant")[i % 2], "content": content}
        for i, content in enumerate(contents)
    ]
    body: dict[str, Any] = {"model": "claude-imitated-1", "max_tokens": 9, "messages": messages}
    return MessagesRequest(1, 0.0, body, headers, 100)


def text(reply: Reply) -> str:
    assert isinstance(reply, Text)
    return reply.text


def use(command: str) -> list[dict[str, Any]]:
    return [{"type": "tool_use", "id": "t", "name": "Bash", "input": {"command": command}}]


def result(output: str, *, is_error: bool = False) -> list[dict[str, Any]]:
    block = {"type": "tool_result", "tool_use_id": "t", "content": output, "is_error": is_error}
    return [block]


def reminder(prompt: str) -> list[dict[str, Any]]:
    return [
        {"type": "text", "text": "<system-reminder>\nthe date\n</system-reminder>\n\n"},
        {"type": "text", "text": prompt},
    ]


def test_echo_repeats_what_a_person_wrote_and_nothing_else() -> None:
    assert text(echo(request(reminder("hello <b>")))) == "echo: hello <b>"


def test_echo_remembers_the_history() -> None:
    history = (reminder("one"), "x", "two", "x")
    assert text(echo(request(*history, "What did I say first?"))) == "you said first: one"
    assert text(echo(request(*history, "what did I say?"))) == "you said:\n- one\n- two"


def test_echo_remembers_across_a_compaction() -> None:
    asked = request("one", "x", "two", "x", "Your task is to create a detailed summary of it")
    assert asked.kind is Kind.COMPACTION
    left = text(housekeeping(asked))
    resumed = "This session is being continued from a previous conversation.\n" + left
    now = request(
        [{"type": "text", "text": resumed}, {"type": "text", "text": "what did I say first"}]
    )
    assert text(echo(now)) == "you said first: one"


def test_echo_runs_commands_and_tells_their_output() -> None:
    asked = echo(request("run: ls -l"))
    assert isinstance(asked, ToolUse)
    assert (asked.name, asked.input["command"]) == ("Bash", "ls -l")
    assert text(echo(request("run: ls -l", use("ls -l"), result("a\nb")))) == "tool said: a\nb"


def test_what_the_cli_adds_is_no_prompt() -> None:
    blocks = [
        "[Request interrupted by user]\n",
        "<local-command-stdout>done</local-command-stdout>",
        "first\n",
        "second<system-reminder>x</system-reminder>",
    ]
    asked = request([{"type": "text", "text": block} for block in blocks])
    assert asked.prompts == ("first", "second")


def test_the_demo_asks_to_run_the_tests_once() -> None:
    asked = demo_persona(request(reminder("How does this repository stand?")))
    assert isinstance(asked, ToolUse)
    assert asked.input["command"] == COMMAND
    assert asked.text_before
    later = demo_persona(request("the repository?", use(COMMAND), result("OK"), "x", "the tests?"))
    assert "imitation" in text(later)


@pytest.mark.parametrize(
    ("output", "verdict"),
    [
        ("Ran 3 tests in 0.001s\n\nOK", "in good shape:** 3 tests ran, and all pass."),
        ("Ran 1 test in 0.001s\n\nFAILED (failures=1)", "broken:** 1 test ran, and not all"),
        ("python3: not found", "I could not tell how the tests went."),
    ],
)
def test_the_demo_summarizes_what_came_back(output: str, verdict: str) -> None:
    history = "0123abc Add a test\n4567def Begin"
    answer = text(
        demo_persona(request("repo?", use(COMMAND), result(f"{'-' * 70}\n{output}\n{history}")))
    )
    assert verdict in answer
    assert f"```text\n{output}\n```" in answer
    assert "- `0123abc` Add a test\n- `4567def` Begin" in answer


def test_the_demo_takes_no_for_an_answer() -> None:
    answer = text(demo_persona(request("repo?", use(COMMAND), result("no way", is_error=True))))
    assert "I did not get to run the command" in answer
    assert "> no way" in answer


def test_the_demo_quotes_other_prompts_and_remembers() -> None:
    answer = text(demo_persona(request("Hello!", "x", "Tell me\na joke")))
    assert "> Tell me\n> a joke" in answer
    assert "2 messages so far; the first one was:\n\n> Hello!" in answer


@pytest.mark.parametrize("scenario", ["demo", "echo"])
async def test_it_runs_by_itself_and_ends_on_sigterm(scenario: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.fakes.anthropic", "--scenario", scenario),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(90):
            url = (await process.stdout.readline()).decode().strip()
            async with aiohttp.ClientSession() as http, http.head(url) as response:
                assert (url.startswith("http://127.0.0.1:"), response.status) == (True, 200)
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
