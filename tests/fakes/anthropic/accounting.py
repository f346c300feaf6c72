"""Token counts that are plausible and the same for the same request."""

from __future__ import annotations

import json
import math
from typing import Any

from tests.fakes.anthropic.gate import Gate, Pause
from tests.fakes.anthropic.replies import Block, Message, Text, Thinking, Usage
from tests.fakes.anthropic.requests import MessagesRequest

_BYTES_PER_TOKEN = 4


def tokens_of(size: int) -> int:
    """The usual estimate for a text of so many bytes."""
    return max(1, math.ceil(size / _BYTES_PER_TOKEN))


def usage_of(request: MessagesRequest, message: Message) -> Usage:
    """What the answer says, else: the history read from the cache, the newest part written to it.

    Without a cache_control in the request everything counts as plain input.
    """
    if message.usage is not None:
        return message.usage
    for block in message.blocks:
        if not isinstance(block, Gate | Pause | Thinking) and block.usage is not None:
            return block.usage
    total = tokens_of(request.size)
    output = tokens_of(sum(_output_size(block) for block in message.blocks))
    if not _is_cached(request.body):
        return Usage(input_tokens=total, output_tokens=output)
    fresh = min(total, tokens_of(_fresh_size(request)))
    return Usage(
        input_tokens=3,
        output_tokens=output,
        cache_creation_input_tokens=fresh if request.was_answered else total,
        cache_read_input_tokens=total - fresh if request.was_answered else 0,
    )


def _output_size(block: Block) -> int:
    if isinstance(block, Text | Thinking):
        return len(block.text.encode())
    if isinstance(block, Gate | Pause):
        return 0
    return len(json.dumps(dict(block.input), ensure_ascii=False).encode())


def _fresh_size(request: MessagesRequest) -> int:
    return len(json.dumps(request.since_last_answer, ensure_ascii=False).encode())


def _is_cached(body: Any) -> bool:
    parts = [body.get("system"), body.get("tools"), *(m["content"] for m in body["messages"])]
    return any(
        isinstance(block, dict) and block.get("cache_control")
        for part in parts
        if isinstance(part, list)
        for block in part
    )
