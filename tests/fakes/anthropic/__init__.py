"""An imitation of the Anthropic Messages API, for tests that run the real Claude CLI.

    async with FakeAnthropic() as api:                    # echoes until it is scripted
        api.script(ApiError(529), Text("hello"))          # a queue of replies
        api.when("both", Message([bash("ls"), bash("pwd")]), Text("done"))   # by prompt and round
        api.script(lambda request: Text(request.system))  # a handler for all the rest
        gate = Gate()
        api.script(Text(["first ", gate, "second"]))      # held between the two
        await gate.reached()
        await gate.open()
        assert api.refusals == []

It listens on loopback only and lives in the test's event loop, which has to stay free.
"""

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
