"""The persona behind `make demo`: believable work on a sample repository, honest about itself."""

from __future__ import annotations

import re

from tests.fakes.anthropic.gate import Pause
from tests.fakes.anthropic.replies import Reply, Text
from tests.fakes.anthropic.requests import MessagesRequest, ToolResult
from tests.fakes.anthropic.scenarios import bash

COMMAND = "python3 -m unittest -q 2>&1 | tail -n 5; git log --oneline -n 5"
_ABOUT_REPOSITORY = re.compile(
    r"\b(repo|repository|project|code|tests?|commits?|changed?|stand|overview|status)\b", re.I
)
_COMMIT = re.compile(r"^[0-9a-f]{7,40} ")
_SIGNATURE = (
    "*This is the imitation of the Claude API, not the model: "
    "set `ANTHROPIC_API_KEY` to talk to the real one.*"
)
_LINE_PAUSE = Pause(0.03)


def demo_persona(request: MessagesRequest) -> Reply:
    """Runs the tests once when asked about the repository; otherwise says what it is."""
    if request.tool_results:
        return _paced(summary(request.tool_results[-1]))
    prompt = request.last_user_text
    if _ABOUT_REPOSITORY.search(prompt) and not _has_worked(request):
        return bash(
            COMMAND,
            description="Run the tests and list the latest commits",
            text_before="I'll run the tests and look at the latest commits first.\n\n",
        )
    return _paced(introduction(prompt, request.prompts))


def summary(result: ToolResult) -> str:
    """What the tool result says about tests and history, quoted."""
    if result.is_error:
        reason = result.text.strip() or "no reason was given"
        return (
            f"I did not get to run the command, so I can't say how the tests do:\n\n"
            f"{quoted(reason)}\n\n{_SIGNATURE}"
        )
    lines = [line.rstrip() for line in result.text.splitlines()]
    commits = [line for line in lines if _COMMIT.match(line)]
    rest = (line for line in lines if line not in commits and set(line) != {"-"})
    output = "\n".join(rest).strip() or "(no output)"
    parts = [verdict(output), f"```text\n{output}\n```"]
    if commits:
        listed = "\n".join(f"- `{sha}` {title}" for sha, _, title in map(_split, commits))
        parts.append(f"The latest commits:\n\n{listed}")
    return "\n\n".join([*parts, _SIGNATURE])


def verdict(output: str) -> str:
    """One sentence on the outcome of a unittest run."""
    ran = re.search(r"Ran (\d+) tests?", output)
    count = _count(int(ran[1]), "test") if ran else "the tests"
    if re.search(r"^OK\b", output, re.M):
        return f"**The repository is in good shape:** {count} ran, and all pass."
    if re.search(r"^FAILED\b", output, re.M):
        return f"**Something is broken:** {count} ran, and not all pass."
    return "**I could not tell how the tests went.** This is what came back:"


def introduction(prompt: str, prompts: tuple[str, ...]) -> str:
    """Who answers here, and proof that the whole conversation arrived."""
    memory = (
        f"This session holds {len(prompts)} messages so far; the first one was:\n\n"
        f"{quoted(prompts[0])}"
        if len(prompts) > 1
        else "It is the first message of this session."
    )
    return (
        "This is the imitation of the Claude API, so no model has thought about your message. "
        f"It went through the real Claude CLI and arrived as:\n\n{quoted(prompt)}\n\n{memory}\n\n"
        "Ask me about this repository, and I'll run its tests (with your permission). "
        "Set `ANTHROPIC_API_KEY` to talk to the real model."
    )


def quoted(text: str) -> str:
    """The text as a Markdown quotation, shortened in the middle when it is long."""
    shown = text if len(text) <= 600 else f"{text[:400]} … {text[-150:]}"
    return "\n".join(f"> {line}" for line in shown.strip().splitlines())


def _has_worked(request: MessagesRequest) -> bool:
    return any(
        isinstance(message["content"], list)
        and any(block.get("type") == "tool_use" for block in message["content"])
        for message in request.messages
    )


def _paced(markdown: str) -> Text:
    parts: list[str | Pause] = []
    for line in markdown.splitlines(keepends=True):
        parts += [line, _LINE_PAUSE]
    return Text(parts[:-1])


def _split(commit: str) -> tuple[str, str, str]:
    return commit.partition(" ")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
