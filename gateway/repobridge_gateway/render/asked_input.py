"""What an agent asks to do, readable and whole: every field of a tool's input, nothing hidden.

A command is shown as a command, a change as a difference, a new file as its content; all else field
by field. Characters that a reader would not see are shown by their numbers, so that what is allowed
is what was read.
"""

from __future__ import annotations

import difflib
import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from repobridge_gateway.asking import pretty_input
from repobridge_gateway.render.filenames import language_of, safe_file_name
from repobridge_gateway.render.inline import code, escaped
from repobridge_gateway.render.measure import shortened

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})
_JOINER = "\u200d"
_LONGEST_FACT = 200
_LONGEST_FACTS = 600
_LONGEST_KEY = 100
_USUALLY_FALSE = frozenset({"replace_all", "run_in_background"})
_MOST_DIFF_LINES = 2000
"""Beyond, the old lines and the new ones are shown after each other: finding pairs takes long."""


@dataclass(frozen=True, slots=True)
class Block:
    """A text of its own: in a block of code, or as a file."""

    text: str
    language: str
    file_name: str


@dataclass(frozen=True, slots=True)
class Shown:
    """What is asked for: a question, short facts, and the texts."""

    question: str
    facts: tuple[str, ...]
    blocks: tuple[Block, ...]


def visible(text: str) -> str:
    """The text with every character shown that a reader could not see or tell from a space."""
    if text.isascii() and text.replace("\n", "").replace("\t", "").isprintable():
        return text
    told: list[str] = []
    for index, each in enumerate(text):
        is_plain = each in "\n\t " or unicodedata.category(each) not in _HIDDEN
        is_emoji = each == _JOINER and not text[index - 1 : index + 2].isascii() and index > 0
        told.append(
            each if is_plain or (is_emoji and text[index - 1] > "\u2000") else _number(each)
        )
    return "".join(told)


def show_tool(tool_name: str, input_json: str) -> Shown:
    """The input of a tool as people can judge it."""
    value = _object(input_json)
    shown = _READERS[tool_name](value) if value is not None and tool_name in _READERS else None
    if shown is not None:
        return shown
    server, _, name = tool_name.removeprefix("mcp__").partition("__")
    told = f"{server}: {name}" if tool_name.startswith("mcp__") and name else tool_name
    question = _QUESTIONS.get(tool_name, f"use {code(shortened(visible(told), _LONGEST_KEY))}")
    return Shown(question, (), _fields(input_json))


def show_plan(input_json: str) -> tuple[str | None, tuple[Block, ...]]:
    """A plan's Markdown (None: there is none to read), and whatever else is asked with it."""
    value = _object(input_json)
    if value is None or not isinstance(value.get("plan"), str):
        return None, _fields(input_json)
    rest = {key: each for key, each in value.items() if key != "plan"}
    return value["plan"], _fields(json.dumps(rest, ensure_ascii=False)) if rest else ()


def difference(old: str, new: str) -> str:
    """Two texts as one, with every line of both."""
    if old.endswith("\n") and new.endswith("\n"):
        old, new = old[:-1], new[:-1]
    before, after = old.split("\n") if old else [], new.split("\n") if new else []
    if len(before) + len(after) > _MOST_DIFF_LINES:
        return "\n".join([*(f"-{line}" for line in before), *(f"+{line}" for line in after)])
    everything = len(before) + len(after)
    lines = difflib.unified_diff(before, after, n=everything, lineterm="")
    # Headers name no files here, and the one hunk is all there is.
    return "\n".join(list(lines)[3:]) or "\n".join(f" {line}" for line in before)


_QUESTIONS = {
    "Bash": "run this command",
    "Write": "write this file",
    "Edit": "change this file",
    "MultiEdit": "change this file",
    "WebFetch": "read this page",
    "WebSearch": "search the web",
    "Task": "start a sub-agent",
    "Agent": "start a sub-agent",
    "NotebookEdit": "change this notebook",
    "Read": "read this file",
}


def _bash(value: Mapping[str, Any]) -> Shown | None:
    facts = _facts(value, without=("command", "description"))
    if facts is None or not _are_texts(value, "command"):
        return None
    about = value.get("description", "")
    if not isinstance(about, str) or len(about) > _LONGEST_FACT:
        return None
    lead = (escaped(visible(about)),) if about.strip() else ()
    block = Block(visible(value["command"]), "bash", "command.sh")
    return Shown(_QUESTIONS["Bash"], (*lead, *facts), (block,))


def _write(value: Mapping[str, Any]) -> Shown | None:
    facts = _facts(value, without=("content",), first="file_path")
    if facts is None or not _are_texts(value, "file_path", "content"):
        return None
    name = safe_file_name(value["file_path"])
    block = Block(visible(value["content"]), language_of(name), name)
    return Shown(_QUESTIONS["Write"], facts, (block,))


def _edit(value: Mapping[str, Any]) -> Shown | None:
    facts = _facts(value, without=("old_string", "new_string"), first="file_path")
    if facts is None or not _are_texts(value, "file_path", "old_string", "new_string"):
        return None
    return Shown(_QUESTIONS["Edit"], facts, (_change(value["file_path"], [value]),))


def _multi_edit(value: Mapping[str, Any]) -> Shown | None:
    facts = _facts(value, without=("edits",), first="file_path")
    edits = value.get("edits")
    if facts is None or not _are_texts(value, "file_path") or not isinstance(edits, list):
        return None
    known = {"old_string", "new_string", "replace_all"}
    for edit in edits:
        if not isinstance(edit, dict) or not set(edit) <= known:
            return None
        if not _are_texts(edit, "old_string", "new_string"):
            return None
    return Shown(_QUESTIONS["Edit"], facts, (_change(value["file_path"], edits),))


_READERS = {"Bash": _bash, "Write": _write, "Edit": _edit, "MultiEdit": _multi_edit}


def _change(path: str, edits: Sequence[Mapping[str, Any]]) -> Block:
    hunks: list[str] = []
    for number, edit in enumerate(edits, 1):
        if len(edits) > 1:
            every = ", every occurrence" if edit.get("replace_all") else ""
            hunks.append(f"@@ change {number} of {len(edits)}{every} @@")
        hunks.append(visible(difference(edit["old_string"], edit["new_string"])))
    return Block("\n".join(hunks), "diff", f"{safe_file_name(path)}.diff")


def _facts(
    value: Mapping[str, Any], *, without: Sequence[str], first: str = ""
) -> tuple[str, ...] | None:
    """The short fields; None where one is too long to stand on a line."""
    facts: list[str] = []
    for key in sorted(value, key=lambda key: key != first):
        each = value[key]
        if key in without or (each is False and key in _USUALLY_FALSE):
            continue
        told = visible(each if isinstance(each, str) else json.dumps(each, ensure_ascii=False))
        # Inline code holds one line, and no two spaces.
        if len(told) > _LONGEST_FACT or " ".join(told.split()) != told or "``" in told:
            return None
        facts.append(code(told) if key == first else f"{code(visible(key))}: {code(told)}")
    return tuple(facts) if sum(map(len, facts)) <= _LONGEST_FACTS else None


def _fields(input_json: str) -> tuple[Block, ...]:
    value = _object(input_json)
    if value is None or any(len(key) > _LONGEST_KEY for key in value):
        return (Block(visible(input_json), "json", "input.json"),)
    told = {visible(key): _told(each) for key, each in value.items()}
    text = "\n".join(pretty_input(json.dumps(told, ensure_ascii=False)))
    return (Block(text, "", "input.txt"),) if text else ()


def _told(value: Any) -> Any:
    if isinstance(value, str):
        return visible(value)
    return visible(json.dumps(value, indent=2, ensure_ascii=False))


def _object(input_json: str) -> Mapping[str, Any] | None:
    try:
        value = json.loads(input_json or "{}")
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _are_texts(value: Mapping[str, Any], *keys: str) -> bool:
    return all(isinstance(value.get(key), str) for key in keys)


def _number(each: str) -> str:
    return f"⟨U+{ord(each):04X}⟩"
