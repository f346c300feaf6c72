"""What a request to the Messages API says, read once, in the words that tests ask in."""

from __future__ import annotations

import enum
import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_SUMMARY = "This session is being continued from a previous conversation"
# Texts in user messages that nobody typed.
_NOISE = (
    "[Request interrupted by user",
    "<local-command-",
    "<command-name>",
    "<task-notification>",
    _SUMMARY,
)
_REMINDER = ("<system-reminder>", "</system-reminder>")


class Kind(enum.Enum):
    """What a request is for; all but CONVERSATION are the CLI's own housekeeping."""

    CONVERSATION = "conversation"
    TITLE = "title"
    SUGGESTION = "suggestion"
    COMPACTION = "compaction"
    AWAY_SUMMARY = "away_summary"
    QUOTA = "quota"
    SMALL_MODEL = "small_model"


# Sentences of the CLI's own prompts.
_MARKERS: Mapping[str, Kind] = {
    "[SUGGESTION MODE: ": Kind.SUGGESTION,
    "Your task is to create a detailed summary of": Kind.COMPACTION,
    "The user stepped away and is coming back. Recap in": Kind.AWAY_SUMMARY,
}


@dataclass(frozen=True)
class ToolResult:
    """One tool_result block, its content flattened to text."""

    tool_use_id: str
    text: str
    is_error: bool


@dataclass(frozen=True, eq=False)
class MessagesRequest:
    """One accepted request, with the parsed body and the headers (names in lower case)."""

    number: int
    at: float
    body: Mapping[str, Any]
    headers: Mapping[str, str]
    size: int

    @property
    def model(self) -> str:
        """The model asked for."""
        return str(self.body["model"])

    @property
    def stream(self) -> bool:
        """Whether the answer is to be server-sent events."""
        return bool(self.body.get("stream", False))

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation as it was sent."""
        return list(self.body["messages"])

    @property
    def tools(self) -> tuple[str, ...]:
        """The names of the tools offered."""
        return tuple(str(tool.get("name", "")) for tool in self.body.get("tools") or ())

    @functools.cached_property
    def system(self) -> str:
        """The system prompt, its blocks joined by line ends."""
        return flatten(self.body.get("system", ""))

    @functools.cached_property
    def prompts(self) -> tuple[str, ...]:
        """Every prompt of the history in order, without what the CLI adds by itself."""
        return tuple(text for message in self.messages for text in prompts_of(message))

    @property
    def last_user_text(self) -> str:
        """The newest prompt; it stays the same while tool results go back and forth."""
        return self.prompts[-1] if self.prompts else ""

    @functools.cached_property
    def tool_results(self) -> tuple[ToolResult, ...]:
        """The tool results that this request brings (those after the last answer)."""
        return tuple(
            _tool_result(block)
            for message in self.since_last_answer
            for block in blocks_of(message)
            if block.get("type") == "tool_result"
        )

    @functools.cached_property
    def round(self) -> int:
        """How many answers came since the newest prompt: 0 for its first request."""
        answers = 0
        for message in reversed(self.messages):
            if message["role"] == "assistant":
                answers += 1
            elif any(prompts_of(message)):
                break
        return answers

    @functools.cached_property
    def session_id(self) -> str:
        """The CLI's session id, or an empty string when another client asks."""
        return self.headers.get("x-claude-code-session-id", "")

    @property
    def agent_id(self) -> str:
        """The id of the subagent that asks, or an empty string for the session itself."""
        return self.headers.get("x-claude-code-agent-id", "")

    @functools.cached_property
    def summary(self) -> str:
        """What a compaction left of the earlier conversation, or an empty string."""
        texts = (flatten(message["content"]) for message in self.messages)
        return next((text for text in texts if text.startswith(_SUMMARY)), "")

    @functools.cached_property
    def kind(self) -> Kind:
        """What the CLI wants with it."""
        return classify(self)

    @property
    def was_answered(self) -> bool:
        """Whether the history holds an answer already."""
        return any(message["role"] == "assistant" for message in self.messages)

    @functools.cached_property
    def since_last_answer(self) -> list[dict[str, Any]]:
        """The messages that are new to the model."""
        messages = self.messages
        answered = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
        return messages[answered[-1] + 1 :] if answered else messages


def blocks_of(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The content of a message as blocks, also when it was a plain string."""
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def prompts_of(message: Mapping[str, Any]) -> Iterator[str]:
    """The texts of a user message that a person wrote."""
    if message["role"] != "user":
        return
    for block in blocks_of(message):
        if block.get("type") == "text":
            # The CLI ends each text with a line end where it joins several messages.
            text = _without_reminders(str(block["text"])).removesuffix("\n")
            if text.strip() and not text.startswith(_NOISE):
                yield text


def flatten(content: object) -> str:
    """The text of a string or of a list of blocks."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(str(b.get("text", "")) for b in content if b.get("type") == "text")
    return "" if content is None else json.dumps(content, ensure_ascii=False)


def classify(request: MessagesRequest) -> Kind:
    """Tell the CLI's housekeeping from the conversation (as CLI 2.1.197 was seen to send it)."""
    if "title" in _schema_properties(request.body):
        return Kind.TITLE
    if request.body.get("max_tokens") == 1:
        return Kind.QUOTA
    for marker, kind in _MARKERS.items():
        if marker in request.last_user_text:
            return kind
    from_cli = request.headers.get("x-app") == "cli"
    if from_cli and "haiku" in request.model and not request.tools:
        return Kind.SMALL_MODEL
    return Kind.CONVERSATION


def _schema_properties(body: Mapping[str, Any]) -> Mapping[str, Any]:
    config = body.get("output_config") or {}
    schema = (config.get("format") or {}).get("schema") or {}
    found = schema.get("properties")
    return found if isinstance(found, dict) else {}


def _without_reminders(text: str) -> str:
    opening, closing = _REMINDER
    while (start := text.find(opening)) >= 0 and (end := text.find(closing, start)) >= 0:
        text = text[:start].rstrip() + text[end + len(closing) :].lstrip("\n")
    return text


def _tool_result(block: Mapping[str, Any]) -> ToolResult:
    return ToolResult(
        tool_use_id=str(block["tool_use_id"]),
        text=flatten(block.get("content")),
        is_error=bool(block.get("is_error", False)),
    )
