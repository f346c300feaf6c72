"""An imitation of the Anthropic Messages API, for tests that run the real Claude CLI."""

from tests.fakes.anthropic.chunking import HOSTILE, Chunker, NewChunker, Whole
from tests.fakes.anthropic.demo import demo_persona
from tests.fakes.anthropic.gate import Gate, Pause
from tests.fakes.anthropic.record import Refusal
from tests.fakes.anthropic.replies import (
    ApiError,
    Hang,
    Message,
    Reply,
    Reset,
    SseError,
    Text,
    Thinking,
    ToolUse,
    Usage,
)
from tests.fakes.anthropic.requests import Kind, MessagesRequest, ToolResult
from tests.fakes.anthropic.scenarios import bash, echo
from tests.fakes.anthropic.server import DEFAULT_KEY, FakeAnthropic

__all__ = [
    "DEFAULT_KEY",
    "HOSTILE",
    "ApiError",
    "Chunker",
    "FakeAnthropic",
    "Gate",
    "Hang",
    "Kind",
    "Message",
    "MessagesRequest",
    "NewChunker",
    "Pause",
    "Refusal",
    "Reply",
    "Reset",
    "SseError",
    "Text",
    "Thinking",
    "ToolResult",
    "ToolUse",
    "Usage",
    "Whole",
    "bash",
    "demo_persona",
    "echo",
]
