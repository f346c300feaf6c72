"""Ready-made ways to answer: an echo with a memory, and housekeeping answers for the CLI."""

from __future__ import annotations

import json
import re

from tests.fakes.anthropic.replies import Reply, Text, ToolUse
from tests.fakes.anthropic.requests import Kind, MessagesRequest

_RUN = re.compile(r"run: (?P<command>.+)", re.DOTALL)


def echo(request: MessagesRequest) -> Reply:
    """Repeats the prompt, remembers earlier ones, and runs commands on demand.

    - `run: COMMAND` asks for the Bash tool; its result comes back as `tool said: …`.
    - `what did I say first?` → `you said first: …`; `what did I say?` → every earlier prompt.
    - anything else → `echo: …`.
    """
    if request.tool_results:
        said = "\n".join(result.text for result in request.tool_results)
        return Text(f"tool said: {said}")
    prompt = request.last_user_text
    question = prompt.strip().lower()
    if question.startswith("what did i say first"):
        return Text(f"you said first: {first_prompt(request)}")
    if question.startswith("what did i say"):
        return Text("you said:\n" + "\n".join(f"- {said}" for said in request.prompts[:-1]))
    if command := _RUN.fullmatch(prompt.strip()):
        return bash(command["command"])
    return Text(f"echo: {prompt}")


def first_prompt(request: MessagesRequest) -> str:
    """The oldest prompt that the request still knows of, also through `housekeeping`'s summary."""
    remembered = re.search(r"^- (.*)$", request.summary, re.M)
    return remembered[1] if remembered else request.prompts[0]


def bash(command: str, *, description: str = "Run a command", text_before: str = "") -> ToolUse:
    """The Bash tool with one command."""
    return ToolUse(
        "Bash", {"command": command, "description": description}, text_before=text_before
    )


def housekeeping(request: MessagesRequest) -> Reply:
    """What the CLI's requests beside the conversation get when nobody scripted them."""
    match request.kind:
        case Kind.TITLE:
            return Text(json.dumps({"title": "Imitated session"}))
        case Kind.QUOTA:
            return Text("OK", stop_reason="max_tokens")
        case Kind.SUGGESTION:
            return Text("")
        case Kind.COMPACTION:
            said = "\n".join(f"- {prompt}" for prompt in request.prompts[:-1])
            return Text(
                "<analysis>\nThe imitation lists the prompts.\n</analysis>\n\n"
                f"<summary>\nThe user said:\n{said}\n</summary>"
            )
        case _:
            return Text("ok")
