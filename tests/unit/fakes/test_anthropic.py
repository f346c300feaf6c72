"""The imitation answers over HTTP as the real Messages API does, at the pace that a test sets."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.anthropic import (
    HOSTILE,
    ApiError,
    FakeAnthropic,
    Gate,
    Hang,
    Kind,
    Message,
    MessagesRequest,
    NewChunker,
    Reply,
    Reset,
    SseError,
    Text,
    Thinking,
    ToolUse,
    Usage,
    Whole,
)
from tests.fakes.anthropic.client import Client, ask, parse_events, text_of
from tests.fakes.anthropic.replies import Block, message_of
from tests.fakes.anthropic.sse import Envelope, stream_end, stream_steps

MIXED = "Grüße, 世界! 👩‍👩‍👧‍👦\n\ndata: no event\n\n" * 5
STREAM = {"stream": True}


def deltas(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event["delta"] for event in events if event["type"] == "content_block_delta"]


async def test_a_text_streams_with_the_events_of_the_api(
    client: Client, anthropic_api: FakeAnthropic
) -> None:
    usage = Usage(7, 5, cache_creation_input_tokens=3, cache_read_input_tokens=2)
    anthropic_api.script(Text("Hello 世界", chunk=6, usage=usage))
    events = await client.events(ask("hi", **STREAM))
    told = {
        "input_tokens": 7,
        "cache_creation_input_tokens": 3,
        "cache_read_input_tokens": 2,
        "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 0},
        "output_tokens": 5,
        "service_tier": "standard",
    }
    message_id = events[0]["message"].pop("id")
    assert message_id.startswith("msg_01")
    assert events == [
        {
            "type": "message_start",
            "message": {
                "type": "message",
                "role": "assistant",
                "model": "claude-imitated-1",
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": told | {"output_tokens": 1},
            },
        },
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "text", "text": ""},
        },
        {"type": "ping"},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": "Hello "},
        },
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": "世界"},
        },
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": told,
        },
        {"type": "message_stop"},
    ]


async def test_several_blocks_stream_one_after_the_other(
    client: Client, anthropic_api: FakeAnthropic
) -> None:
    blocks: list[Block] = [
        Thinking("hm"),
        ToolUse("Bash", {"command": "ls ä"}, text_before="First.", id="toolu_1"),
        ToolUse("Read", {}, id="toolu_2"),
    ]
    anthropic_api.script(Message(blocks), Message(blocks))
    events = await client.events(ask("hi", **STREAM))
    starts = [e["content_block"] for e in events if e["type"] == "content_block_start"]
    assert starts == [
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "text", "text": ""},
        {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}},
        {"type": "tool_use", "id": "toolu_2", "name": "Read", "input": {}},
    ]
    partial = "".join(d["partial_json"] for d in deltas(events) if d["type"] == "input_json_delta")
    assert partial == '{"command": "ls ä"}{}'
    assert events[-2]["delta"]["stop_reason"] == "tool_use"

    whole = await client.message(ask("hi"))
    assert whole["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "aW1pdGF0aW9u"},
        {"type": "text", "text": "First."},
        {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls ä"}},
        {"type": "tool_use", "id": "toolu_2", "name": "Read", "input": {}},
    ]
    assert whole["stop_reason"] == "tool_use"


@pytest.mark.parametrize("new_chunker", HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_hostile_cut_changes_no_byte(
    new_chunker: NewChunker, client: Client, anthropic_api: FakeAnthropic
) -> None:
    anthropic_api.new_chunker = new_chunker
    anthropic_api.script(Text(MIXED))
    assert text_of(await client.events(ask("hi", **STREAM))) == MIXED


@pytest.mark.parametrize("name", HOSTILE)
@given(text=st.text(st.characters(codec="utf-8"), max_size=200), chunk=st.integers(1, 50))
def test_pieces_join_to_the_events_of_any_text(name: str, text: str, chunk: int) -> None:
    message = message_of(Text(text, chunk=chunk))
    envelope = Envelope("msg_1", "claude-imitated-1", Usage(1, 1), lambda: "toolu_1")
    events = [step for step in stream_steps(message, envelope) if isinstance(step, bytes)]
    events += stream_end(message, envelope)
    chunker = HOSTILE[name]()
    pieces = [piece for event in events for piece in chunker.feed(event)]
    pieces.append(chunker.flush())
    assert b"".join(pieces) == b"".join(events)
    assert text_of(list(parse_events(b"".join(pieces)))) == text


def test_cuts_fall_where_their_names_say() -> None:
    event = 'event: a\ndata: {"x":"é"}\n\nevent: b\n\n'.encode()
    cut = {name: [*(c := new()).feed(event), c.flush()] for name, new in HOSTILE.items()}
    assert cut["inside_characters"] == [event[:22], event[22:]]
    assert cut["between_newlines"] == [
        b'event: a\ndata: {"x":"\xc3\xa9"}\n',
        b"\nevent: b\n",
        b"\n",
    ]
    assert [piece[-3:] for piece in cut["inside_fields"][:4]] == [b"\nda", b"ta", b": {", b"\nev"]
    assert cut["one_byte"] == [bytes([byte]) for byte in event]


async def test_the_same_seed_makes_the_same_bytes() -> None:
    async def answer() -> list[dict[str, Any]]:
        async with FakeAnthropic(seed=7) as api, aiohttp.ClientSession() as http:
            return await Client(api, http).events(ask("hi", **STREAM))

    assert await answer() == await answer()


async def test_a_gate_holds_the_stream_at_its_place(
    client: Client, anthropic_api: FakeAnthropic
) -> None:
    gate = Gate()
    anthropic_api.script(Text(["before", gate, "between", gate, "after"]))
    async with client.post(ask("hi", **STREAM)) as response:
        await gate.reached()
        seen = b""
        while b"before" not in seen:
            seen += await response.content.readany()
        await gate.step()
        await gate.reached(2)
        while b"between" not in seen:
            seen += await response.content.readany()
        assert b"after" not in seen
        await gate.open()
        seen += await response.read()
    assert text_of(list(parse_events(seen))) == "beforebetweenafter"


async def test_a_gate_between_blocks_holds_a_document_too(
    client: Client, anthropic_api: FakeAnthropic
) -> None:
    gate = Gate()
    anthropic_api.script(Message([Text("a"), gate, Text("b")]))
    answer = asyncio.ensure_future(client.message(ask("hi")))
    await gate.reached()
    assert not answer.done()
    await gate.open()
    assert [block["text"] for block in (await answer)["content"]] == ["a", "b"]


async def test_an_error_has_the_shape_of_the_api(
    client: Client, anthropic_api: FakeAnthropic
) -> None:
    anthropic_api.script(ApiError(529, retry_after=2), ApiError(429, message="Slow down"))
    async with client.post(ask("hi")) as response:
        body = await response.json()
        assert (response.status, response.headers["retry-after"]) == (529, "2")
        assert body == {
            "type": "error",
            "error": {"type": "overloaded_error", "message": "Overloaded error"},
            "request_id": response.headers["request-id"],
        }
    async with client.post(ask("hi")) as response:
        assert response.status == 429
        error = {"type": "rate_limit_error", "message": "Slow down"}
        assert (await response.json())["error"] == error
    assert anthropic_api.refusals == []


@pytest.mark.parametrize("graceful", [False, True])
async def test_a_reset_cuts_after_exactly_so_many_bytes(
    graceful: bool, client: Client, anthropic_api: FakeAnthropic
) -> None:
    anthropic_api.script(Reset(after_bytes=500, graceful=graceful))
    seen = bytearray()

    async def read() -> None:
        async with client.post(ask("hi", **STREAM)) as response:
            async for piece in response.content.iter_any():
                seen.extend(piece)

    with pytest.raises((aiohttp.ClientError, ConnectionResetError)):
        await read()
    assert len(seen) == 500


@pytest.mark.parametrize("graceful", [False, True])
async def test_a_reset_can_wait_for_a_gate_and_come_after_all_text(
    graceful: bool, client: Client, anthropic_api: FakeAnthropic
) -> None:
    gate = Gate()
    anthropic_api.script(Reset(of=Text(["before", gate, "after"]), graceful=graceful))
    async with client.post(ask("hi", **STREAM)) as response:
        await gate.reached()
        await gate.open()
        seen = bytearray()
        with contextlib.suppress(aiohttp.ClientError, ConnectionResetError):
            async for piece in response.content.iter_any():
                seen.extend(piece)
    events = list(parse_events(bytes(seen)))
    assert (text_of(events), events[-1]["type"]) == ("beforeafter", "content_block_delta")


async def test_a_reset_before_all_sends_no_status(
    client: Client, anthropic_api: FakeAnthropic
) -> None:
    anthropic_api.script(Reset())
    with pytest.raises(aiohttp.ClientConnectionError):
        await client.message(ask("hi"))


async def test_an_error_event_ends_an_open_block(
    client: Client, anthropic_api: FakeAnthropic
) -> None:
    anthropic_api.script(SseError(Text("half")), SseError(Text("half")))
    events = await client.events(ask("hi", **STREAM))
    assert [event["type"] for event in events] == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "error",
    ]
    assert events[-1]["error"] == {"type": "overloaded_error", "message": "Overloaded"}
    refused = await client.message(ask("hi"))
    assert refused["error"] == {"type": "overloaded_error", "message": "Overloaded"}


async def test_a_hanging_request_answers_when_released(
    client: Client, anthropic_api: FakeAnthropic
) -> None:
    hang = Hang(then=Text("at last"))
    anthropic_api.script(hang)
    answer = asyncio.ensure_future(client.message(ask("hi")))
    await hang.gate.reached()
    await hang.gate.open()
    assert (await answer)["content"] == [{"type": "text", "text": "at last"}]


async def test_a_client_that_leaves_is_noted(client: Client, anthropic_api: FakeAnthropic) -> None:
    gate = Gate()
    anthropic_api.script(Text(["a", gate]))
    answer = asyncio.ensure_future(client.events(ask("never mind", **STREAM)))
    await gate.reached()
    answer.cancel()
    await anthropic_api.wait_until(lambda: bool(anthropic_api.aborted))
    assert [request.last_user_text for request in anthropic_api.aborted] == ["never mind"]


async def test_replies_come_from_rules_then_queue_then_handler(
    client: Client, anthropic_api: FakeAnthropic
) -> None:
    def handler(request: MessagesRequest) -> Reply:
        return Text(f"handled {request.last_user_text}")

    anthropic_api.script(handler)
    anthropic_api.script(Text("queued"))
    anthropic_api.when("rule", ToolUse("Bash", {}, id="t1"), Text("round two"))
    second = [
        {"role": "user", "content": "the rule"},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "t1", "name": "B", "input": {}}],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "x"}]},
    ]
    bodies = [ask("the rule"), ask("", messages=second), ask("one"), ask("two")]
    contents = [(await client.message(body))["content"][0] for body in bodies]
    assert contents == [
        {"type": "tool_use", "id": "t1", "name": "Bash", "input": {}},
        {"type": "text", "text": "round two"},
        {"type": "text", "text": "queued"},
        {"type": "text", "text": "handled two"},
    ]
    assert [request.round for request in anthropic_api.requests] == [0, 1, 0, 0]


async def test_a_broken_handler_shows_among_the_refusals(
    client: Client, anthropic_api: FakeAnthropic
) -> None:
    def broken(request: MessagesRequest) -> Reply:
        raise LookupError("oh")

    anthropic_api.script(broken)
    assert (await client.message(ask("hi")))["error"]["type"] == "api_error"
    assert [refusal.message for refusal in anthropic_api.refusals] == ["LookupError('oh')"]


async def test_a_request_can_be_waited_for(client: Client, anthropic_api: FakeAnthropic) -> None:
    waiting = asyncio.ensure_future(
        anthropic_api.wait_for_request(lambda request: "two" in request.last_user_text)
    )
    for prompt in ("one", "two"):
        await client.message(ask(prompt, system="be brief"))
    found = await waiting
    assert (found.number, found.last_user_text, found.system) == (2, "two", "be brief")
    with pytest.raises(TimeoutError):
        await anthropic_api.wait_for_request(lambda request: request.stream, timeout=0.01)


async def test_housekeeping_is_answered_apart(client: Client, anthropic_api: FakeAnthropic) -> None:
    anthropic_api.script(Text("for the conversation"))
    schema = {"type": "object", "properties": {"title": {"type": "string"}}}
    titled = ask("<session>x</session>")
    titled["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    title = await client.message(titled)
    await client.message(ask("quota", max_tokens=1))
    summarize = "Your task is to create a detailed summary of the conversation"
    await client.message(ask(summarize))
    assert json.loads(title["content"][0]["text"]) == {"title": "Imitated session"}
    kinds = [request.kind for request in anthropic_api.side_requests]
    assert kinds == [Kind.TITLE, Kind.QUOTA, Kind.COMPACTION]
    assert (anthropic_api.requests, anthropic_api.queued) == ([], 1)


async def test_usage_follows_the_size_and_the_cache(
    client: Client, anthropic_api: FakeAnthropic
) -> None:
    cached = {"type": "text", "text": "x" * 4000, "cache_control": {"type": "ephemeral"}}
    first = await client.message(ask("hi", system=[cached]))
    again = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": "more"},
    ]
    second = await client.message(ask("", system=[cached], messages=again))
    plain = await client.message(ask("x" * 4000))
    usages = [answer["usage"] for answer in (first, second, plain)]
    sizes = [request.size for request in anthropic_api.requests]
    totals = [-(-size // 4) for size in sizes]
    assert usages[0]["cache_creation_input_tokens"] == totals[0]
    assert usages[1]["cache_read_input_tokens"] > 1000 > usages[1]["cache_creation_input_tokens"]
    assert usages[2]["input_tokens"] == totals[2]


async def test_fifty_streams_at_once_are_held_and_released(
    client: Client, anthropic_api: FakeAnthropic
) -> None:
    gate = Gate()
    anthropic_api.script(lambda request: Text([request.last_user_text, gate, "!"]))
    answers = [
        asyncio.ensure_future(client.events(ask(f"prompt {i}", **STREAM))) for i in range(50)
    ]
    await gate.reached(50)
    await gate.open()
    texts = [text_of(events) for events in await asyncio.gather(*answers)]
    assert texts == [f"prompt {i}!" for i in range(50)]


async def test_large_texts_pass_unchanged(client: Client, anthropic_api: FakeAnthropic) -> None:
    text = "0123456789abcdef" * 500_000
    anthropic_api.new_chunker = Whole
    anthropic_api.script(Text(text, chunk=65536))
    assert text_of(await client.events(ask("hi", **STREAM))) == text
