"""An answer as the bytes of the API: server-sent events, or one JSON document."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.fakes.anthropic.gate import Gate, Hold, Pause
from tests.fakes.anthropic.replies import (
    Block,
    Message,
    Text,
    Thinking,
    ToolUse,
    Usage,
    stop_reason_of,
)

PING = b'event: ping\ndata: {"type": "ping"}\n\n'


@dataclass(frozen=True)
class Envelope:
    """What an answer carries beside its blocks."""

    message_id: str
    model: str
    usage: Usage
    tool_use_id: Callable[[], str]


def event(name: str, payload: Mapping[str, Any]) -> bytes:
    """One event; text goes as plain UTF-8, as the real API sends it."""
    data = json.dumps({"type": name, **payload}, ensure_ascii=False, separators=(",", ":"))
    return f"event: {name}\ndata: {data}\n\n".encode()


def stream_steps(message: Message, envelope: Envelope) -> Iterator[bytes | Hold]:
    """The events of an answer and the holds between them, with its last block still open."""
    yield event("message_start", {"message": _opening(envelope)})
    index = 0
    for block in message.blocks:
        if isinstance(block, Gate | Pause):
            yield block
            continue
        if index > 0:
            yield _block_stop(index - 1)
        yield from _block_steps(block, index=index, envelope=envelope)
        index += 1


def stream_end(message: Message, envelope: Envelope) -> Iterator[bytes]:
    """The last events of an answer that went well."""
    blocks = sum(not isinstance(block, Gate | Pause) for block in message.blocks)
    if blocks:
        yield _block_stop(blocks - 1)
    delta = {"stop_reason": stop_reason_of(message), "stop_sequence": None}
    yield event("message_delta", {"delta": delta, "usage": usage_json(envelope.usage)})
    yield event("message_stop", {})


def error_event(error_type: str, message: str, *, request_id: str) -> bytes:
    """The event with which a stream fails after it began."""
    return event("error", {"error": _error(error_type, message), "request_id": request_id})


def error_body(error_type: str, message: str, *, request_id: str) -> bytes:
    """The document that every refusal carries."""
    body = {"type": "error", "error": _error(error_type, message), "request_id": request_id}
    return json.dumps(body, ensure_ascii=False).encode()


def message_json(message: Message, envelope: Envelope) -> bytes:
    """The answer as one document."""
    content = [
        _block_json(block, envelope)
        for block in message.blocks
        if not isinstance(block, Gate | Pause)
    ]
    body = _opening(envelope) | {
        "content": content,
        "stop_reason": stop_reason_of(message),
        "usage": usage_json(envelope.usage),
    }
    return json.dumps(body, ensure_ascii=False).encode()


def usage_json(usage: Usage) -> dict[str, Any]:
    """Usage with every field that the API tells."""
    return {
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": usage.cache_creation_input_tokens,
        "cache_read_input_tokens": usage.cache_read_input_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_creation_input_tokens,
            "ephemeral_1h_input_tokens": 0,
        },
        "output_tokens": usage.output_tokens,
        "service_tier": "standard",
    }


def _opening(envelope: Envelope) -> dict[str, Any]:
    return {
        "id": envelope.message_id,
        "type": "message",
        "role": "assistant",
        "model": envelope.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage_json(envelope.usage) | {"output_tokens": 1},
    }


def _block_steps(
    block: Text | Thinking | ToolUse, *, index: int, envelope: Envelope
) -> Iterator[bytes | Hold]:
    yield event("content_block_start", {"index": index, "content_block": _start(block, envelope)})
    if index == 0:
        yield PING
    for delta in _deltas(block):
        yield _delta_event(index, delta) if isinstance(delta, dict) else delta


def _block_stop(index: int) -> bytes:
    return event("content_block_stop", {"index": index})


def _delta_event(index: int, delta: Mapping[str, str]) -> bytes:
    return event("content_block_delta", {"index": index, "delta": delta})


def _start(block: Text | Thinking | ToolUse, envelope: Envelope) -> dict[str, Any]:
    match block:
        case Text():
            return {"type": "text", "text": ""}
        case Thinking():
            return {"type": "thinking", "thinking": "", "signature": ""}
        case ToolUse():
            use_id = block.id or envelope.tool_use_id()
            return {"type": "tool_use", "id": use_id, "name": block.name, "input": {}}


def _deltas(block: Text | Thinking | ToolUse) -> Iterator[dict[str, str] | Hold]:
    match block:
        case Text():
            for step in block.steps:
                if isinstance(step, str):
                    for piece in _pieces(step, block.chunk):
                        yield {"type": "text_delta", "text": piece}
                else:
                    yield step
        case Thinking():
            yield {"type": "thinking_delta", "thinking": block.text}
            yield {"type": "signature_delta", "signature": block.signature}
        case ToolUse():
            yield {"type": "input_json_delta", "partial_json": ""}
            for piece in _pieces(json.dumps(dict(block.input), ensure_ascii=False), block.chunk):
                yield {"type": "input_json_delta", "partial_json": piece}


def _pieces(text: str, size: int) -> Iterator[str]:
    for start in range(0, len(text), size):
        yield text[start : start + size]


def _block_json(block: Block, envelope: Envelope) -> dict[str, Any]:
    match block:
        case Text():
            return {"type": "text", "text": block.text}
        case Thinking():
            return {"type": "thinking", "thinking": block.text, "signature": block.signature}
        case ToolUse():
            return _start(block, envelope) | {"input": dict(block.input)}
        case Gate() | Pause():
            raise AssertionError("a hold is no content")


def _error(error_type: str, message: str) -> dict[str, Any]:
    return {"type": error_type, "message": message}
