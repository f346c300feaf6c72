"""Reads the CLI's transcript: its own record of a session, and the judge after a crash.

The format is internal to the CLI, so this is the one module that knows it; each reader ignores
what it does not know. Lines are appended about 100 ms after the fact.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from repobridge_runner.agents.base import CommandDone, Interrupted, TurnContinued, UsageSeen

_INTERRUPTED = "[Request interrupted by user"
_CONTINUED = "Continue from where you left off."
_FINAL_REASONS = ("end_turn", "stop_sequence", "max_tokens", "refusal")
_STDOUT = re.compile(r"<local-command-stdout>(.*?)(?:</local-command-stdout>|\Z)", re.S)
_STDERR = re.compile(r"<local-command-stderr>(.*?)(?:</local-command-stderr>|\Z)", re.S)
_STYLE = re.compile("\x1b\\[[0-9;]*m")
Seen = UsageSeen | Interrupted | TurnContinued | CommandDone


def transcript_path(config_directory: Path, directory: Path, session_id: str) -> Path:
    """Where the CLI keeps the transcript of a session that works in a directory."""
    folder = re.sub(r"[^A-Za-z0-9]", "-", str(directory))
    return config_directory / "projects" / folder / f"{session_id}.jsonl"


@dataclass(frozen=True, slots=True)
class CutTurn:
    """What the transcript says of a turn that a crash cut."""

    prompt_stands: bool
    finished: bool = False
    interrupted: bool = False
    text: str = ""


class TranscriptReader:
    """Follows one transcript from an offset in bytes."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self.path = path
        self.offset = offset
        self._partial = b""
        self._usage_of: dict[str, UsageSeen] = {}

    def read(self) -> Iterator[Seen]:
        """Yields what was appended since the last call."""
        for entry in self._entries():
            yield from self._seen(entry)

    def _entries(self) -> Iterator[Mapping[str, Any]]:
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                data = file.read()
        except FileNotFoundError:
            return
        self.offset += len(data)
        *lines, self._partial = (self._partial + data).split(b"\n")
        yield from _parsed(lines)

    def _seen(self, entry: Mapping[str, Any]) -> Iterator[Seen]:
        if entry.get("isSidechain"):
            return
        text = entry_text(entry)
        if entry.get("type") == "user" and text.startswith(_INTERRUPTED):
            yield Interrupted()
        elif _is_continuation(entry):
            yield TurnContinued()
        elif "<local-command-stdout>" in text or "<local-command-stderr>" in text:
            found = _STDOUT.search(text) or _STDERR.search(text)
            yield CommandDone(_STYLE.sub("", found.group(1)).strip() if found else "")
        elif entry.get("type") == "assistant":
            yield from self._usage(entry["message"])

    def _usage(self, message: Mapping[str, Any]) -> Iterator[UsageSeen]:
        """One request may be written as several entries with the same id: only growth counts."""
        usage, model = message.get("usage"), str(message.get("model", ""))
        if not isinstance(usage, dict) or model.startswith("<"):
            return
        whole = UsageSeen(
            model=model,
            input=_count(usage, "input_tokens"),
            output=_count(usage, "output_tokens"),
            cache_read=_count(usage, "cache_read_input_tokens"),
            cache_write=_count(usage, "cache_creation_input_tokens"),
        )
        before = self._usage_of.get(str(message.get("id")), UsageSeen(model, 0, 0, 0, 0))
        self._usage_of = {str(message.get("id")): whole}
        grown = UsageSeen(
            model,
            whole.input - before.input,
            whole.output - before.output,
            whole.cache_read - before.cache_read,
            whole.cache_write - before.cache_write,
        )
        if any((grown.input, grown.output, grown.cache_read, grown.cache_write)):
            yield grown


def judge(path: Path, *, offset: int, prompt: str) -> CutTurn:
    """Whether a prompt stands in the transcript after an offset, and how its turn went on.

    The end is read off the last answer's stop reason: the lines that tell it in words may be
    written before the prompt's own.
    """
    turn = CutTurn(prompt_stands=False)
    for entry in _entries_of(path, offset):
        if entry.get("isSidechain") or entry.get("isMeta"):
            continue
        text = entry_text(entry)
        if entry.get("type") == "user":
            # A tool's result, too, begins the text anew: the final one comes after the last tool.
            stands = turn.prompt_stands or text == prompt
            turn = CutTurn(stands, interrupted=stands and text.startswith(_INTERRUPTED))
        elif entry.get("type") == "assistant":
            message = entry.get("message")
            reason = message.get("stop_reason") if isinstance(message, dict) else None
            stopped = reason in _FINAL_REASONS
            turn = CutTurn(
                turn.prompt_stands,
                finished=turn.prompt_stands and stopped,
                text=turn.text + text,
            )
    return replace(turn, text=turn.text.strip())


def was_continued(path: Path, *, offset: int) -> bool:
    """Whether the CLI took up a cut turn: it tells the model so, and no hook."""
    return any(map(_is_continuation, _entries_of(path, offset)))


def holds_conversation(path: Path) -> bool:
    """Whether there is anything to resume: the CLI makes the file before the first prompt."""
    return any(entry.get("type") in ("user", "assistant") for entry in _entries_of(path, 0))


def _is_continuation(entry: Mapping[str, Any]) -> bool:
    is_own = entry.get("type") == "user" and bool(entry.get("isMeta"))
    return is_own and entry_text(entry) == _CONTINUED


def _entries_of(path: Path, offset: int) -> Iterator[Mapping[str, Any]]:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            yield from _parsed(file)
    except FileNotFoundError:
        return


def size(path: Path) -> int:
    """The transcript's length in bytes; 0 where there is none yet."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def entry_text(entry: Mapping[str, Any]) -> str:
    """The text of an entry, whichever way it is written."""
    message = entry.get("message")
    content = message.get("content") if isinstance(message, dict) else entry.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    blocks = (block for block in content if isinstance(block, dict))
    return "".join(str(block.get("text", "")) for block in blocks if block.get("type") == "text")


def _parsed(lines: Iterable[bytes]) -> Iterator[Mapping[str, Any]]:
    for line in lines:
        try:
            entry = json.loads(line) if line.strip() else None
        except ValueError:
            continue  # the last line of a killed process
        if isinstance(entry, dict):
            yield entry


def _count(usage: Mapping[str, Any], name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) else 0
