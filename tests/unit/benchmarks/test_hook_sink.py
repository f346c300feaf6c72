"""The baseline's hook server: each hook is answered at once and handed on, whole and in order."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from benchmarks.hook_sink import HookSink


def _request(payload: Mapping[str, Any]) -> bytes:
    body = json.dumps(payload).encode()
    head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def test_hooks_in_pieces_and_in_a_row_are_answered_and_heard() -> None:
    sink = HookSink()
    heard: list[Mapping[str, Any]] = []
    sink.listener = heard.append
    await sink.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", sink.port)
    sent = [{"hook_event_name": "MessageDisplay", "delta": "ä"}, {"hook_event_name": "Stop"}]
    data = b"".join(map(_request, sent))

    for start in range(0, len(data), 7):
        writer.write(data[start : start + 7])
        await writer.drain()
    async with asyncio.timeout(60):
        answers = [await reader.readuntil(b"{}") for _ in sent]

    assert heard == sent
    assert [answer.split(b"\r\n", 1)[0] for answer in answers] == [b"HTTP/1.1 200 OK"] * 2
    writer.close()
    await sink.close()
