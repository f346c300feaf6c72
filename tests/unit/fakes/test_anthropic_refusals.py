"""The imitation refuses what the real Messages API refuses, and remembers that it did."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from tests.fakes.anthropic import FakeAnthropic, Refusal
from tests.fakes.anthropic.client import Client, ask

USE = {"type": "tool_use", "id": "t1", "name": "Bash", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "ok"}
TEXT = {"type": "text", "text": "hi"}
SCHEMA = {"type": "object", "properties": {}}


def user(*blocks: object) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: object) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def without(field: str) -> dict[str, object]:
    return {name: value for name, value in ask("hi").items() if name != field}


HEADERS: dict[str, tuple[dict[str, str | None], int, str, str]] = {
    "no key": ({"x-api-key": None}, 401, "authentication_error", "x-api-key header is required"),
    "wrong key": ({"x-api-key": "sk-no"}, 401, "authentication_error", "invalid x-api-key"),
    "wrong bearer": (
        {"x-api-key": None, "authorization": "Bearer no"},
        *(401, "authentication_error", "Invalid bearer token"),
    ),
    "no version": (
        {"anthropic-version": None},
        *(400, "invalid_request_error", "anthropic-version: header is required"),
    ),
    "odd version": (
        {"anthropic-version": "2030-01-01"},
        *(400, "invalid_request_error", '"2030-01-01" is not a valid version'),
    ),
    "no content type": (
        {"content-type": None},
        *(400, "invalid_request_error", "Content type must be application/json"),
    ),
    "form": (
        {"content-type": "application/x-www-form-urlencoded"},
        *(400, "invalid_request_error", "Content type must be application/json"),
    ),
}

BODIES: dict[str, tuple[object, str]] = {
    "no JSON": (b"{", "The request body is not valid JSON"),
    "no UTF-8": (b'{"a": "\xff"}', "The request body is not valid JSON"),
    "half a surrogate pair": (b'{"a": "\\ud83d"}', "no low surrogate in string"),
    "nested too deeply": (b"[" * 100_000, "The request body is not valid JSON"),
    "a list": (b"[]", "Input should be a valid dictionary"),
    "no model": (without("model"), "model: Field required"),
    "no max_tokens": (without("max_tokens"), "max_tokens: Field required"),
    "no messages": (without("messages"), "messages: Field required"),
    "unknown field": (ask("hi", color="red"), "color: Extra inputs are not permitted"),
    "field without its beta": (
        ask("hi", context_management={}),
        "context_management: Extra inputs are not permitted",
    ),
    "stream as text": (ask("hi", stream="yes"), "stream: Input should be a valid boolean"),
    "stream as number": (ask("hi", stream=1), "stream: Input should be a valid boolean"),
    "max_tokens as boolean": (
        ask("hi", max_tokens=True),
        "max_tokens: Input should be a valid integer",
    ),
    "max_tokens zero": (ask("hi", max_tokens=0), "max_tokens: Input should be greater than or"),
    "max_tokens huge": (ask("hi", max_tokens=10**6), "max_tokens: 1000000 > 128000"),
    "hot": (ask("hi", temperature=2), "temperature: range: 0..1"),
    "blank stop": (ask("hi", stop_sequences=[" "]), "stop_sequences.0: each stop sequence"),
    "thinking kind": (ask("hi", thinking={"type": "x"}), "thinking.type: Input should be"),
    "thinking budget": (
        ask("hi", thinking={"type": "enabled", "budget_tokens": 1024}),
        "`max_tokens` must be greater than `thinking.budget_tokens`",
    ),
    "hot thinking": (
        ask("hi", thinking={"type": "adaptive"}, temperature=0.5),
        "`temperature` may only be set to 1 when thinking is enabled",
    ),
    "tool name": (
        ask("hi", tools=[{"name": "a b", "input_schema": SCHEMA}]),
        "tools.0.custom.name: String should match pattern",
    ),
    "tool twice": (
        ask("hi", tools=[{"name": "a", "input_schema": SCHEMA}] * 2),
        "tools: Tool names must be unique.",
    ),
    "tool without schema": (
        ask("hi", tools=[{"name": "a"}]),
        "tools.0.custom.input_schema: Field required",
    ),
    "choice without tools": (
        ask("hi", tool_choice={"type": "auto"}),
        "tool_choice may only be specified while providing tools.",
    ),
    "choice of an unknown tool": (
        ask(
            "hi",
            tools=[{"name": "a", "input_schema": SCHEMA}],
            tool_choice={"type": "tool", "name": "b"},
        ),
        "Tool 'b' not found in provided tools",
    ),
    "effort": (ask("hi", output_config={"effort": "x"}), "output_config.effort: Input should be"),
    "empty system block": (
        ask("hi", system=[{"type": "text", "text": ""}]),
        "system: text content blocks must be non-empty",
    ),
    "five cached blocks": (
        ask("hi", system=[{**TEXT, "cache_control": {"type": "ephemeral"}}] * 5),
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    ),
}

CONVERSATIONS: dict[str, tuple[list[object], str]] = {
    "empty": ([], "messages: at least one message is required"),
    "not a message": (["hi"], "messages.0: Input should be a valid dictionary"),
    "no role": ([{"content": "x"}], "messages.0.role: Field required"),
    "no content": ([{"role": "user"}], "messages.0.content: Field required"),
    "content as number": (
        [{"role": "user", "content": 1}],
        "messages.0.content: Input should be a valid list",
    ),
    "extra field": (
        [{"role": "user", "content": "x", "id": 1}],
        "messages.0.id: Extra inputs are not permitted",
    ),
    "odd role": (
        [{"role": "robot", "content": "x"}],
        "messages.0.role: Input should be 'user' or 'assistant'",
    ),
    "system role without its beta": (
        [user(TEXT), {"role": "system", "content": "x"}],
        "messages.1.role: Input should be 'user' or 'assistant'",
    ),
    "assistant first": (
        [assistant(TEXT), user(TEXT)],
        'messages: first message must use the "user" role',
    ),
    "no blocks": ([user()], "messages.0: all messages must have non-empty content"),
    "empty text": (
        [user({"type": "text", "text": ""})],
        "messages: text content blocks must be non-empty",
    ),
    "blank text": (
        [user({"type": "text", "text": " \n"})],
        "messages: text content blocks must contain non-whitespace text",
    ),
    "text without text": ([user({"type": "text"})], "messages.0.content.0.text.text: Field"),
    "unknown block": (
        [user({"type": "hologram"})],
        "messages.0.content.0: Input tag 'hologram' found using 'type' does not match",
    ),
    "block without type": (
        [user({"text": "x"})],
        "messages.0.content.0: Unable to extract tag using discriminator 'type'",
    ),
    "tool use by the user": (
        [user(USE)],
        "messages.0.content.0: `tool_use` blocks can not be used in `user` messages",
    ),
    "odd image": (
        [user({"type": "image", "source": {"type": "base64", "media_type": "a/b", "data": ""}})],
        "messages.0.content.0.image.source.base64.media_type: Input should be",
    ),
    "result without use": (
        [user(RESULT)],
        "unexpected `tool_use_id` found in `tool_result` blocks: t1",
    ),
    "result of an earlier turn": (
        [user(TEXT), assistant(USE), user(RESULT), assistant(TEXT), user(RESULT)],
        "messages.4.content: unexpected `tool_use_id` found in `tool_result` blocks: t1",
    ),
    "use without result": (
        [user(TEXT), assistant(USE), user(TEXT)],
        "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: t1",
    ),
    "use at the end": (
        [user(TEXT), assistant(USE)],
        "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: t1",
    ),
    "text before the result": (
        [user(TEXT), assistant(USE), user(TEXT, RESULT)],
        "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: t1",
    ),
    "one use twice": (
        [user(TEXT), assistant(USE, USE), user(RESULT)],
        "messages: `tool_use` ids must be unique",
    ),
    "one id in two turns": (
        [user(TEXT), assistant(USE), user(RESULT), assistant(USE), user(RESULT)],
        "messages: `tool_use` ids must be unique",
    ),
    "two results of one use": (
        [user(TEXT), assistant(USE), user(RESULT, RESULT)],
        "each tool_use must have a single result",
    ),
    "prefill that ends in a blank": (
        [user(TEXT), {"role": "assistant", "content": "So "}],
        "messages: final assistant content cannot end with trailing whitespace",
    ),
}


async def refused(
    client: Client, api: FakeAnthropic, body: object, **headers: str | None
) -> tuple[int, str, str]:
    """What the answer says; the record must say the same."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with client.post(body, headers=named) as response:
        document = await response.json()
        status = response.status
    assert document["type"] == "error"
    assert document["request_id"].startswith("req_")
    error = document["error"]
    assert api.refusals == [
        Refusal("POST", "/v1/messages", status, error["type"], error["message"])
    ]
    assert (api.requests, api.side_requests) == ([], [])
    return status, error["type"], error["message"]


@pytest.mark.parametrize("case", HEADERS)
async def test_headers_are_checked(case: str, client: Client, anthropic_api: FakeAnthropic) -> None:
    headers, status, kind, sentence = HEADERS[case]
    async with client.post(ask("hi"), headers=headers) as response:
        error = (await response.json())["error"]
        assert (response.status, error["type"]) == (status, kind)
    assert sentence in error["message"]
    assert len(anthropic_api.refusals) == 1


@pytest.mark.parametrize("case", BODIES)
async def test_bodies_are_checked(case: str, client: Client, anthropic_api: FakeAnthropic) -> None:
    body, sentence = BODIES[case]
    status, kind, message = await refused(client, anthropic_api, body)
    assert (status, kind, sentence in message) == (400, "invalid_request_error", True), message


@pytest.mark.parametrize("case", CONVERSATIONS)
async def test_conversations_are_checked(
    case: str, client: Client, anthropic_api: FakeAnthropic
) -> None:
    messages, sentence = CONVERSATIONS[case]
    status, kind, message = await refused(client, anthropic_api, ask("", messages=messages))
    assert (status, kind, sentence in message) == (400, "invalid_request_error", True), message


async def test_a_whole_conversation_is_accepted(
    client: Client, anthropic_api: FakeAnthropic
) -> None:
    other = {"type": "tool_use", "id": "t2", "name": "Read", "input": {"a": 1}}
    image = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"},
    }
    result = {
        "type": "tool_result",
        "tool_use_id": "t2",
        "is_error": True,
        "content": [TEXT, image],
    }
    messages = [
        user(TEXT, image),
        assistant({"type": "thinking", "thinking": "", "signature": "s"}, USE, other),
        user(result, RESULT, TEXT),
        {"role": "system", "content": "a reminder"},
        assistant(TEXT),
        {"role": "user", "content": "x"},
        {"role": "user", "content": "y"},
        {"role": "assistant", "content": "So"},
    ]
    body = ask(
        "",
        messages=messages,
        system=[TEXT],
        tools=[{"name": "Bash", "input_schema": SCHEMA}],
        tool_choice={"type": "auto"},
        metadata={"user_id": "u"},
        thinking={"type": "adaptive"},
        context_management={"edits": []},
        output_config={"effort": "high"},
        stop_sequences=["END"],
    )
    betas = "context-management-2025-06-27,mid-conversation-system-2026-04-07"
    async with client.post(body, headers={"anthropic-beta": betas}) as response:
        assert response.status == 200, await response.text()
    request = anthropic_api.requests[0]
    assert (request.prompts, request.round) == (("hi", "hi", "x", "y"), 1)
    assert request.tool_results == ()


async def test_a_bearer_token_opens_too(client: Client, anthropic_api: FakeAnthropic) -> None:
    bearer = {"x-api-key": None, "authorization": f"Bearer {anthropic_api.key}"}
    async with client.post(ask("hi"), headers=bearer) as response:
        assert response.status == 200


async def test_unknown_models_are_not_found(client: Client, anthropic_api: FakeAnthropic) -> None:
    anthropic_api.has_model = lambda model: model != "claude-imitated-1"
    answer = await refused(client, anthropic_api, ask("hi"))
    assert answer == (404, "not_found_error", "model: claude-imitated-1")


async def test_a_body_over_32_megabytes_is_too_large(
    client: Client, anthropic_api: FakeAnthropic
) -> None:
    answer = await refused(client, anthropic_api, b" " * (32 * 1024 * 1024 + 1))
    assert answer == (413, "request_too_large", "Request exceeds the maximum size")


async def test_other_paths_and_methods_are_refused(
    client: Client, anthropic_api: FakeAnthropic
) -> None:
    async with aiohttp.ClientSession(anthropic_api.base_url) as http:
        answers = [
            await http.head("/"),
            await http.get("/"),
            await http.get("/v1/messages"),
            await http.post("/v1/complete"),
        ]
        assert [answer.status for answer in answers] == [200, 404, 405, 404]
    assert [(refusal.method, refusal.path) for refusal in anthropic_api.refusals] == [
        ("GET", "/"),
        ("GET", "/v1/messages"),
        ("POST", "/v1/complete"),
    ]


async def test_tokens_are_counted_without_a_message(
    client: Client, anthropic_api: FakeAnthropic
) -> None:
    path = "/v1/messages/count_tokens?beta=true"
    async with client.post(without("max_tokens"), path=path) as response:
        assert list(await response.json()) == ["input_tokens"]
    assert (anthropic_api.requests, anthropic_api.refusals) == ([], [])


async def test_the_beta_query_changes_nothing(client: Client, anthropic_api: FakeAnthropic) -> None:
    async with client.post(ask("hi"), path="/v1/messages?beta=true") as response:
        assert response.status == 200


async def test_what_is_no_http_hurts_nobody(client: Client, anthropic_api: FakeAnthropic) -> None:
    port = int(anthropic_api.base_url.rsplit(":", 1)[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"\x16\x03\x01 this is no request\r\n\r\n")
    assert b" 400 " in await reader.readline()
    writer.close()
    assert (await client.message(ask("hi")))["content"] == [{"type": "text", "text": "echo: hi"}]
