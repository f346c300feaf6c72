"""One open turn: what was said and done in it so far, as the events that tell it; no I/O."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from repobridge.session.events import (
    Actor,
    Body,
    InterruptCause,
    TextDelta,
    ToolEnded,
    ToolOutcome,
    ToolStarted,
    TurnOrigin,
    UsageUpdated,
)
from repobridge_runner.agents.base import TextShown, ToolBegan, ToolFinished, UsageSeen
from repobridge_runner.redact import RedactionStream, Redactor

INPUT_BYTES = 64 << 10
SUMMARY_BYTES = 2 << 10
_SUMMARY_LINES = 20
_TITLE_CHARACTERS = 200
KeepBlob = Callable[[str, str], str]
"""Keeps a text under a file name and returns its blob id."""


@dataclass(slots=True)
class _Block:
    stream: RedactionStream
    next_index: int = 0
    emitted: int = 0
    is_final: bool = False


@dataclass(slots=True)
class Turn:
    """The state of one open turn."""

    turn_id: str
    origin: TurnOrigin
    message_id: str
    actor: Actor | None
    prompt: str
    transcript_offset: int
    opened_at: float
    redactor: Redactor
    keep_blob: KeepBlob
    prompt_ids: set[str] = field(default_factory=set)
    interrupt: InterruptCause | None = None
    is_resuming: bool = False
    has_output: bool = False
    usage: UsageUpdated = field(default_factory=UsageUpdated)
    text_after_tool: str = ""
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    _blocks: dict[str, _Block] = field(default_factory=dict)
    _tools: dict[str, ToolBegan] = field(default_factory=dict)
    _seen_tools: set[str] = field(default_factory=set)

    @property
    def block_ids(self) -> tuple[str, ...]:
        """The blocks of text so far."""
        return tuple(self._blocks)

    def text(self, shown: TextShown) -> Iterator[Body]:
        """A piece of the agent's text; a piece that came before says nothing."""
        block = self._blocks.get(shown.block_id)
        if block is None:
            block = self._blocks[shown.block_id] = _Block(self.redactor.stream())
        if shown.index < block.next_index or block.is_final:
            return
        block.next_index = shown.index + 1
        self.has_output = True
        if not shown.parent_tool_use_id:
            self.text_after_tool += shown.text
        markdown = block.stream.feed(shown.text)
        if shown.final:
            markdown += block.stream.finish()
        yield from self._delta(
            shown.block_id, block, markdown, shown.final, shown.parent_tool_use_id
        )

    def rest_of(self, whole: str) -> Iterator[Body]:
        """What the end of the turn tells that was never shown: a stream that fell back."""
        shown = self.text_after_tool.strip()
        if not whole.strip() or whole.split() == shown.split():
            return
        rest = whole.strip()
        if shown and rest.startswith(shown):
            rest = rest[len(shown) :]
        block_id = f"{self.turn_id}-rest"
        yield from self.text(TextShown("", block_id, 0, rest, final=True))

    def tool_began(self, began: ToolBegan) -> Iterator[Body]:
        """A tool call; a repeat says nothing."""
        if began.tool_use_id in self._seen_tools:
            return
        self._seen_tools.add(began.tool_use_id)
        self._tools[began.tool_use_id] = began
        self.has_output = True
        self.text_after_tool = ""
        shown, blob_id = self.shown_input(began.input)
        yield ToolStarted(
            tool_use_id=began.tool_use_id,
            name=began.name,
            title=self.redactor.text(make_title(began.name, began.input)),
            input_json=shown,
            input_blob_id=blob_id,
            background=bool(began.input.get("run_in_background")),
        )

    def tool_finished(self, finished: ToolFinished) -> Iterator[Body]:
        """A tool's result; a repeat says nothing."""
        if self._tools.pop(finished.tool_use_id, None) is None:
            return
        outcome = ToolOutcome.OK if finished.ok else ToolOutcome.FAILED
        if finished.cancelled:
            outcome = ToolOutcome.CANCELLED
        output = self.redactor.text(finished.output)
        summary = "\n".join(output.splitlines()[:_SUMMARY_LINES])
        summary = summary.encode()[:SUMMARY_BYTES].decode(errors="ignore")
        blob_id = "" if summary == output.rstrip("\n") else self.keep_blob(output, "output.txt")
        yield ToolEnded(finished.tool_use_id, outcome, finished.duration_ms, summary, blob_id)

    def tool_denied(self, tool_name: str, tool_input: Mapping[str, Any]) -> Iterator[Body]:
        """The tool call that waited for this permission; the agent tells no more of it."""
        for tool_use_id, began in self._tools.items():
            if began.name == tool_name and began.input == tool_input:
                del self._tools[tool_use_id]
                yield ToolEnded(tool_use_id, ToolOutcome.DENIED)
                return

    def used(self, seen: UsageSeen) -> None:
        """Counts the tokens of one request."""
        self.usage = replace(
            self.usage,
            model=seen.model,
            input=self.usage.input + seen.input,
            output=self.usage.output + seen.output,
            cache_read=self.usage.cache_read + seen.cache_read,
            cache_write=self.usage.cache_write + seen.cache_write,
            context_used=seen.input + seen.cache_read + seen.cache_write + seen.output,
        )

    def close(self) -> Iterator[Body]:
        """What is still open when the turn ends: held text and tools without a result."""
        for block_id, block in self._blocks.items():
            if not block.is_final:
                yield from self._delta(block_id, block, block.stream.finish(), True, "")
        for tool_use_id in tuple(self._tools):
            del self._tools[tool_use_id]
            yield ToolEnded(tool_use_id, ToolOutcome.CANCELLED)

    def shown_input(self, value: Mapping[str, Any]) -> tuple[str, str]:
        """A tool's input as JSON, or where that is long, the id of the blob that holds it."""
        text = json.dumps(self.redactor.json(value), ensure_ascii=False)
        if len(text.encode("utf-8", "surrogatepass")) <= INPUT_BYTES:
            return text, ""
        return "", self.keep_blob(json.dumps(json.loads(text), indent=2), "input.json")

    def _delta(
        self, block_id: str, block: _Block, markdown: str, final: bool, parent: str
    ) -> Iterator[Body]:
        block.is_final = final
        if markdown or (final and block.emitted):
            yield TextDelta(block_id, block.emitted, markdown, final, parent)
            block.emitted += 1


def make_title(name: str, tool_input: Mapping[str, Any]) -> str:
    """One line that tells people what a tool call does: `Bash: make test`."""
    for key in ("command", "file_path", "path", "pattern", "url", "query", "description", "prompt"):
        value = tool_input.get(key)
        if isinstance(value, str) and value.strip():
            line = " ".join(value.split())
            cut = line if len(line) <= _TITLE_CHARACTERS else line[: _TITLE_CHARACTERS - 1] + "…"
            return f"{name}: {cut}"
    return name
