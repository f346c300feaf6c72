"""The rules of a conversation: roles, content blocks, and tool uses answered by tool results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.fakes.anthropic.refusal import invalid

_USER_BLOCKS = ("text", "image", "document", "search_result", "tool_result")
_ASSISTANT_BLOCKS = ("text", "thinking", "redacted_thinking", "tool_use")
_IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_MAX_CACHED_BLOCKS = 4
Json = Mapping[str, Any]


def check_conversation(body: Json, *, has_system_role: bool) -> None:
    """Raise the refusal for the first thing that is wrong with system prompt or messages."""
    _check_system(body.get("system"))
    messages = body["messages"]
    if not messages:
        raise invalid("messages: at least one message is required")
    for i, message in enumerate(messages):
        _check_message(i, message, is_last=i == len(messages) - 1, has_system=has_system_role)
    if messages[0]["role"] != "user":
        raise invalid('messages: first message must use the "user" role')
    _check_cache_control(body)
    _check_tool_pairs(_turns(messages))
    _check_prefill(messages[-1])


def _check_system(system: object) -> None:
    for i, block in enumerate(system if isinstance(system, list) else ()):
        if not isinstance(block, dict) or block.get("type") != "text":
            raise invalid(f"system.{i}.type: Input should be 'text'")
        if not isinstance(block.get("text"), str):
            raise invalid(f"system.{i}.text: Field required")
        if not block["text"].strip():
            raise invalid("system: text content blocks must be non-empty")


def _check_message(i: int, message: object, *, is_last: bool, has_system: bool) -> None:
    if not isinstance(message, dict):
        raise invalid(f"messages.{i}: Input should be a valid dictionary")
    for name in ("role", "content"):
        if name not in message:
            raise invalid(f"messages.{i}.{name}: Field required")
    extra = sorted(set(message) - {"role", "content"})
    if extra:
        raise invalid(f"messages.{i}.{extra[0]}: Extra inputs are not permitted")
    role, content = message["role"], message["content"]
    if role not in ("user", "assistant") and not (role == "system" and has_system):
        raise invalid(f"messages.{i}.role: Input should be 'user' or 'assistant'")
    if not isinstance(content, str | list):
        raise invalid(f"messages.{i}.content: Input should be a valid list")
    if not content and not (is_last and role == "assistant"):
        raise invalid(
            f"messages.{i}: all messages must have non-empty content except for the optional "
            "final assistant message"
        )
    if isinstance(content, str) and not content.strip() and role == "user":
        raise invalid("messages: text content blocks must contain non-whitespace text")
    for j, block in enumerate(content if isinstance(content, list) else ()):
        _check_block(f"messages.{i}.content.{j}", block, role)


def _check_block(at: str, block: object, role: str) -> None:
    if not isinstance(block, dict) or "type" not in block:
        raise invalid(f"{at}: Unable to extract tag using discriminator 'type'")
    kind = block["type"]
    known = _ASSISTANT_BLOCKS if role == "assistant" else _USER_BLOCKS
    if kind not in _USER_BLOCKS + _ASSISTANT_BLOCKS:
        tags = ", ".join(f"'{tag}'" for tag in _USER_BLOCKS + _ASSISTANT_BLOCKS)
        raise invalid(
            f"{at}: Input tag '{kind}' found using 'type' does not match any of the expected "
            f"tags: {tags}"
        )
    if kind not in known:
        raise invalid(f"{at}: `{kind}` blocks can not be used in `{role}` messages")
    if kind == "text":
        _check_text(at, block)
    elif kind in ("image", "document"):
        _check_source(f"{at}.{kind}.source", block)
    elif kind == "tool_use":
        _require(f"{at}.tool_use", block, id=str, name=str, input=dict)
    elif kind == "tool_result":
        _check_tool_result(at, block)
    elif kind == "thinking":
        _require(f"{at}.thinking", block, thinking=str, signature=str)


def _check_text(at: str, block: Json) -> None:
    _require(f"{at}.text", block, text=str)
    if not block["text"]:
        raise invalid("messages: text content blocks must be non-empty")
    if not block["text"].strip():
        raise invalid("messages: text content blocks must contain non-whitespace text")


def _check_source(at: str, block: Json) -> None:
    source = block.get("source")
    if not isinstance(source, dict):
        raise invalid(f"{at}: Field required")
    kind = source.get("type")
    if kind not in ("base64", "url", "file", "text", "content"):
        raise invalid(f"{at}: Input tag '{kind}' found using 'type' does not match")
    if kind == "base64":
        _require(f"{at}.base64", source, data=str, media_type=str)
        if block["type"] == "image" and source["media_type"] not in _IMAGE_TYPES:
            tags = ", ".join(f"'{tag}'" for tag in _IMAGE_TYPES)
            raise invalid(f"{at}.base64.media_type: Input should be {tags}")


def _check_tool_result(at: str, block: Json) -> None:
    _require(f"{at}.tool_result", block, tool_use_id=str)
    content = block.get("content")
    if content is None or isinstance(content, str):
        return
    if not isinstance(content, list):
        raise invalid(f"{at}.tool_result.content: Input should be a valid list")
    for k, inner in enumerate(content):
        kind = inner.get("type") if isinstance(inner, dict) else None
        if kind not in ("text", "image", "document", "search_result", "tool_reference"):
            raise invalid(f"{at}.tool_result.content.{k}: Input tag '{kind}' does not match")
        if kind == "text":
            _check_text(f"{at}.tool_result.content.{k}", inner)


def _require(at: str, block: Json, **fields: type) -> None:
    for name, kind in fields.items():
        if name not in block:
            raise invalid(f"{at}.{name}: Field required")
        if not isinstance(block[name], kind):
            raise invalid(f"{at}.{name}: Input should be a valid {kind.__name__}")


def _check_cache_control(body: Json) -> None:
    system = body.get("system")
    blocks = list(body.get("tools") or ()) + (list(system) if isinstance(system, list) else [])
    for message in body["messages"]:
        if isinstance(message["content"], list):
            blocks.extend(message["content"])
    found = sum(1 for block in blocks if block.get("cache_control"))
    if found > _MAX_CACHED_BLOCKS:
        raise invalid(
            f"A maximum of {_MAX_CACHED_BLOCKS} blocks with cache_control may be provided. "
            f"Found {found}."
        )


def _turns(messages: Sequence[Json]) -> list[tuple[int, str, list[Json]]]:
    """Neighbours of one role as one turn, as the API joins them; system messages stand aside."""
    turns: list[tuple[int, str, list[Json]]] = []
    for i, message in enumerate(messages):
        if message["role"] == "system":
            continue
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if turns and turns[-1][1] == message["role"]:
            turns[-1][2].extend(blocks)
        else:
            turns.append((i, message["role"], list(blocks)))
    return turns


def _check_tool_pairs(turns: Sequence[tuple[int, str, list[Json]]]) -> None:
    seen: set[str] = set()
    open_uses: list[str] = []
    used_at = 0
    for i, role, blocks in turns:
        if role == "assistant":
            open_uses, used_at = list(_ids(blocks, "tool_use", "id")), i
            if len(set(open_uses)) < len(open_uses) or seen & set(open_uses):
                raise invalid("messages: `tool_use` ids must be unique")
            seen.update(open_uses)
            continue
        _check_results(i, blocks, open_uses=open_uses, used_at=used_at)
        open_uses = []
    if open_uses:
        raise _unanswered(used_at, open_uses)


def _check_results(i: int, blocks: list[Json], *, open_uses: list[str], used_at: int) -> None:
    results = list(_ids(blocks, "tool_result", "tool_use_id"))
    for result in results:
        if result not in open_uses:
            raise invalid(
                f"messages.{i}.content: unexpected `tool_use_id` found in `tool_result` blocks: "
                f"{result}. Each `tool_result` block must have a corresponding `tool_use` block "
                "in the previous message."
            )
    if len(set(results)) < len(results):
        raise invalid(
            f"messages.{i}.content: each tool_use must have a single result. Found multiple "
            f"`tool_result` blocks with id: {max(results, key=results.count)}"
        )
    # The results have to lead: a text in front of them counts as an answer without them.
    leading = blocks[: len(results)]
    unanswered = [use for use in open_uses if use not in results]
    if unanswered or any(block["type"] != "tool_result" for block in leading):
        raise _unanswered(used_at, unanswered or open_uses)


def _unanswered(used_at: int, uses: Sequence[str]) -> Exception:
    return invalid(
        f"messages.{used_at}: `tool_use` ids were found without `tool_result` blocks immediately "
        f"after: {', '.join(uses)}. Each `tool_use` block must have a corresponding `tool_result` "
        "block in the next message."
    )


def _ids(blocks: list[Json], kind: str, field: str) -> Iterator[str]:
    return (str(block[field]) for block in blocks if block["type"] == kind)


def _check_prefill(last: Json) -> None:
    if last["role"] != "assistant":
        return
    content = last["content"]
    text = content if isinstance(content, str) else content[-1].get("text", "") if content else ""
    if text != text.rstrip():
        raise invalid("messages: final assistant content cannot end with trailing whitespace")
