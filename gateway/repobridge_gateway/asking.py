"""What people are asked, as lines: a permission with its whole input, a plan, a question."""

from __future__ import annotations

import json
from typing import Any

from repobridge.session import events as ev
from repobridge_gateway.lines import Line, Tone, one_line, printable

SHOWN_INPUT_LINES = 40
"""Of a request's input; a longer one is cut, and has to be shown whole before it is allowed."""


def approval_lines(
    request: ev.ApprovalRequested, *, longest: int | None = SHOWN_INPUT_LINES
) -> list[Line]:
    """A request for permission, with its input and the answers that it takes."""
    title = one_line(request.title or request.tool_name)
    if request.kind is ev.RequestKind.PLAN:
        head = "? The agent asks to go ahead with this plan"
    else:
        head = f"? The agent asks for permission: {title}"
    shown, cut = input_lines(request, longest=longest)
    lines = [Line(head, Tone.ASK), *(Line(f"    {line}") for line in shown)]
    if cut:
        lines.append(Line(f"    … {cut}; /show prints the whole, then it can be allowed"))
    return [*lines, Line(f"  {_choices(request)}", Tone.ASK)]


def input_lines(
    request: ev.ApprovalRequested, *, longest: int | None = SHOWN_INPUT_LINES
) -> tuple[list[str], str]:
    """A request's input for people, and what was left out of it (empty: nothing)."""
    lines = pretty_input(request.input_json, plan=request.kind is ev.RequestKind.PLAN)
    if request.input_blob_id:
        return lines[: longest or None], "the rest is too large for the event"
    if longest is not None and len(lines) > longest:
        return lines[:longest], f"{len(lines) - longest} more lines"
    return lines, ""


def pretty_input(input_json: str, *, plan: bool = False) -> list[str]:
    """A tool's input, one field after the other; texts of several lines as they are."""
    try:
        value: Any = json.loads(input_json or "{}")
    except ValueError:
        return printable(input_json).split("\n")
    if plan and isinstance(value, dict) and isinstance(value.get("plan"), str):
        return printable(value["plan"]).rstrip().split("\n")
    if not isinstance(value, dict):
        return printable(json.dumps(value, indent=2, ensure_ascii=False)).split("\n")
    lines: list[str] = []
    for key, field_value in value.items():
        if isinstance(field_value, str):
            text = field_value
        else:
            text = json.dumps(field_value, indent=2, ensure_ascii=False)
        first, *rest = printable(text).rstrip("\n").split("\n")
        lines.append(f"{one_line(key)}: {first}" if not rest else f"{one_line(key)}:")
        lines += [f"  {line}" for line in (first, *rest)] if rest else []
    return lines


def question_lines(question: ev.Question, *, number: int = 1, of: int = 1) -> list[Line]:
    """A question with its numbered answers."""
    count = f" ({number} of {of})" if of > 1 else ""
    lines = [Line(f"? {one_line(question.text, longest=1000)}{count}", Tone.ASK)]
    for index, option in enumerate(question.options, 1):
        about = f"  {one_line(option.description)}" if option.description else ""
        lines.append(Line(f"    {index}. {one_line(option.label)}{about}"))
    how = "numbers, such as 1,3" if question.multi else "a number"
    other = ", or your own words" if question.allow_other else ""
    return [*lines, Line(f"  answer with {how}{other} · /skip declines", Tone.ASK)]


def _choices(request: ev.ApprovalRequested) -> str:
    if request.kind is ev.RequestKind.PLAN:
        return "y go ahead · n [what to change] revise"
    parts = ["y allow once"]
    for key, words, scope in (
        ("s", "for this session", ev.Scope.SESSION),
        ("a", "always", ev.Scope.ALWAYS),
    ):
        found = next((s for s in request.suggestions if s.scope is scope), None)
        if found:
            parts.append(f"{key} {words} ({one_line(found.label, longest=60)})")
    return " · ".join([*parts, "n [reason] deny"])
