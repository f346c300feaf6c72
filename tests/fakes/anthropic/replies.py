"""What the imitation can be told to answer: texts, tool uses, and every kind of failure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tests.fakes.anthropic.gate import Gate, Pause

ERROR_TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    409: "invalid_request_error",
    413: "request_too_large",
    415: "invalid_request_error",
    429: "rate_limit_error",
    500: "api_error",
    503: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}


@dataclass(frozen=True)
class Usage:
    """Tokens of one answer."""

    input_tokens: int
    output_tokens: int
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0


@dataclass(frozen=True)
class Text:
    """A text block, streamed in deltas of `chunk` characters, held where its parts say so."""

    parts: str | Sequence[str | Gate | Pause]
    chunk: int = 20
    usage: Usage | None = None
    stop_reason: str = "end_turn"

    @property
    def text(self) -> str:
        """The whole text, without the holds."""
        return "".join(part for part in self.steps if isinstance(part, str))

    @property
    def steps(self) -> tuple[str | Gate | Pause, ...]:
        """Pieces of text and holds, in order."""
        return (self.parts,) if isinstance(self.parts, str) else tuple(self.parts)


@dataclass(frozen=True)
class Thinking:
    """A thinking block before the answer."""

    text: str
    signature: str = "aW1pdGF0aW9u"


@dataclass(frozen=True)
class ToolUse:
    """The wish to use one tool; ends its message with stop_reason tool_use."""

    name: str
    input: Mapping[str, Any]
    text_before: str = ""
    id: str | None = None
    chunk: int = 16
    usage: Usage | None = None


Block: TypeAlias = Text | Thinking | ToolUse | Gate | Pause


@dataclass(frozen=True)
class Message:
    """Several blocks in one answer: tool uses side by side, holds between blocks."""

    blocks: Sequence[Block]
    usage: Usage | None = None
    stop_reason: str | None = None


@dataclass(frozen=True)
class ApiError:
    """A refusal with the API's own error shape; `type` and `message` follow from the status."""

    status: int
    type: str | None = None
    message: str | None = None
    retry_after: float | None = None

    @property
    def error_type(self) -> str:
        """The API's name for the error."""
        return self.type or ERROR_TYPES.get(self.status, "api_error")


@dataclass(frozen=True)
class Reset:
    """Ends the connection by a TCP reset, or with `graceful` by an orderly but early end.

    After all of `of`, whose last block stays open, or after so many bytes of its body; with
    neither nothing is sent at all, not even a status line.
    """

    after_bytes: int | None = None
    of: Text | ToolUse | Message | None = None
    graceful: bool = False

    def __post_init__(self) -> None:
        if self.of is None and self.after_bytes is not None:
            object.__setattr__(self, "of", Text("cut " * (self.after_bytes // 4 + 1)))


@dataclass(frozen=True)
class Hang:
    """Accepts the request and sends nothing until the gate opens, then answers with `then`."""

    gate: Gate = field(default_factory=Gate)
    then: Text | ToolUse | Message | ApiError = field(default_factory=lambda: Text("late"))


@dataclass(frozen=True)
class SseError:
    """Streams `of`, then an `error` event in its open last block; else refuses plainly."""

    of: Text | ToolUse | Message
    type: str = "overloaded_error"
    message: str = "Overloaded"


Answer: TypeAlias = Text | ToolUse | Message
Reply: TypeAlias = Answer | ApiError | Reset | Hang | SseError


def message_of(answer: Answer) -> Message:
    """The one shape behind all answers, with a `text_before` as a block of its own."""
    if isinstance(answer, Message):
        blocks: list[Block] = []
        for block in answer.blocks:
            blocks.extend(_expanded(block))
        return Message(blocks, answer.usage, answer.stop_reason)
    stop = answer.stop_reason if isinstance(answer, Text) else None
    return Message(_expanded(answer), answer.usage, stop)


def stop_reason_of(message: Message) -> str:
    """The stop reason that fits the blocks, unless the message names one."""
    if message.stop_reason is not None:
        return message.stop_reason
    has_tools = any(isinstance(block, ToolUse) for block in message.blocks)
    return "tool_use" if has_tools else "end_turn"


def _expanded(block: Block) -> list[Block]:
    if isinstance(block, ToolUse) and block.text_before:
        return [Text(block.text_before), block]
    return [block]
