"""Refuses what the real Messages API refuses, with its status, error type and wording."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.fakes.anthropic.conversation import check_conversation
from tests.fakes.anthropic.refusal import ApiRefusal, invalid

MAX_BODY_BYTES = 32 * 1024 * 1024
_MODEL = re.compile(r"claude-[a-z0-9][a-z0-9.-]{1,62}")
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_EFFORTS = ("low", "medium", "high", "xhigh", "max")

# Fields that are only known with a beta header that contains the text.
_BETA_FIELDS: Mapping[str, str] = {
    "context_management": "context-management-",
    "mcp_servers": "mcp-client-",
    "container": "code-execution-",
    "speed": "fast-mode-",
    "output_format": "structured-outputs-",
}


@dataclass(frozen=True)
class _Field:
    kinds: tuple[type, ...]
    expected: str


_NUMBER = (int, float)
_FIELDS: Mapping[str, _Field] = {
    "model": _Field((str,), "string"),
    "messages": _Field((list,), "array"),
    "max_tokens": _Field((int,), "integer"),
    "system": _Field((str, list), "string"),
    "tools": _Field((list,), "array"),
    "tool_choice": _Field((dict,), "object"),
    "stream": _Field((bool,), "boolean"),
    "metadata": _Field((dict,), "object"),
    "thinking": _Field((dict,), "object"),
    "temperature": _Field(_NUMBER, "number"),
    "top_p": _Field(_NUMBER, "number"),
    "top_k": _Field((int,), "integer"),
    "stop_sequences": _Field((list,), "array"),
    "service_tier": _Field((str,), "string"),
    "inference_geo": _Field((str,), "string"),
    "cache_control": _Field((dict,), "object"),
    "output_config": _Field((dict,), "object"),
    "context_management": _Field((dict,), "object"),
    "mcp_servers": _Field((list,), "array"),
    "container": _Field((str, dict), "string"),
    "speed": _Field((str,), "string"),
    "output_format": _Field((dict,), "object"),
}
_COUNT_ONLY_REQUIRED = ("model", "messages")
_REQUIRED = ("model", "max_tokens", "messages")


def check_headers(headers: Mapping[str, str], key: str) -> None:
    """Key, version and content type, in the order in which the API looks at them."""
    offered = headers.get("x-api-key")
    bearer = headers.get("authorization")
    if offered is None and bearer is None:
        raise ApiRefusal(401, "authentication_error", "x-api-key header is required")
    if offered is not None and not _same(offered, key):
        raise ApiRefusal(401, "authentication_error", "invalid x-api-key")
    if offered is None and not _same(bearer or "", f"Bearer {key}"):
        raise ApiRefusal(401, "authentication_error", "Invalid bearer token")
    version = headers.get("anthropic-version")
    if version is None:
        raise invalid("anthropic-version: header is required")
    if version not in ("2023-06-01", "2023-01-01"):
        raise invalid(f'anthropic-version: "{version}" is not a valid version')
    content_type = headers.get("content-type", "").split(";")[0].strip().lower()
    if content_type != "application/json":
        raise invalid("Content type must be application/json")


def parse_body(raw: bytes) -> dict[str, Any]:
    """The JSON object in the body."""
    try:
        body = json.loads(raw.decode())
        if b"\\u" in raw:  # only an escape can hide half a surrogate pair
            json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise invalid(
            "The request body is not valid JSON: no low surrogate in string: "
            f"line 1 column {error.start + 1} (char {error.start})"
        ) from error
    except (ValueError, RecursionError) as error:
        raise invalid(f"The request body is not valid JSON: {error}") from error
    if not isinstance(body, dict):
        raise invalid("Input should be a valid dictionary")
    return body


def check_body(
    body: Mapping[str, Any], *, betas: str, counts_only: bool, has_model: Callable[[str], bool]
) -> None:
    """Every field by itself, then the conversation as a whole."""
    _check_known(body, betas)
    for name in _COUNT_ONLY_REQUIRED if counts_only else _REQUIRED:
        if name not in body:
            raise invalid(f"{name}: Field required")
    for name, value in body.items():
        _check_type(name, value)
    if not _MODEL.fullmatch(body["model"]) or not has_model(body["model"]):
        raise ApiRefusal(404, "not_found_error", f"model: {body['model']}")
    if not counts_only:
        _check_limits(body)
    _check_thinking(body)
    _check_tools(body.get("tools") or [])
    _check_tool_choice(body)
    _check_output(body.get("output_config") or {})
    check_conversation(body, has_system_role="mid-conversation-system-" in betas)


def _same(offered: str, wanted: str) -> bool:
    return hmac.compare_digest(offered.encode(), wanted.encode())


def _check_known(body: Mapping[str, Any], betas: str) -> None:
    for name in body:
        needed = _BETA_FIELDS.get(name)
        if name not in _FIELDS or (needed is not None and needed not in betas):
            raise invalid(f"{name}: Extra inputs are not permitted")


def _check_type(name: str, value: object) -> None:
    field = _FIELDS[name]
    is_bool = isinstance(value, bool)
    if not isinstance(value, field.kinds) or (is_bool and bool not in field.kinds):
        raise invalid(f"{name}: Input should be a valid {field.expected}")


def _check_limits(body: Mapping[str, Any]) -> None:
    if body["max_tokens"] < 1:
        raise invalid("max_tokens: Input should be greater than or equal to 1")
    if body["max_tokens"] > 128_000:
        raise invalid(
            f"max_tokens: {body['max_tokens']} > 128000, which is the maximum allowed number of "
            f"output tokens for {body['model']}"
        )
    for name in ("temperature", "top_p"):
        if not 0 <= body.get(name, 0) <= 1:
            raise invalid(f"{name}: range: 0..1")
    for i, stop in enumerate(body.get("stop_sequences") or ()):
        if not isinstance(stop, str) or not stop.strip():
            raise invalid(f"stop_sequences.{i}: each stop sequence must contain non-whitespace")


def _check_thinking(body: Mapping[str, Any]) -> None:
    thinking = body.get("thinking")
    if thinking is None:
        return
    kind = thinking.get("type")
    if kind not in ("enabled", "disabled", "adaptive"):
        raise invalid("thinking.type: Input should be 'enabled', 'disabled' or 'adaptive'")
    if kind == "enabled":
        budget = thinking.get("budget_tokens")
        if not isinstance(budget, int) or budget < 1024:
            raise invalid(
                "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"
            )
        if budget >= body.get("max_tokens", budget + 1):
            raise invalid("`max_tokens` must be greater than `thinking.budget_tokens`")
    if kind != "disabled" and body.get("temperature", 1) != 1:
        raise invalid("`temperature` may only be set to 1 when thinking is enabled")


def _check_tools(tools: list[Any]) -> None:
    names: set[str] = set()
    for i, tool in enumerate(tools):
        if not isinstance(tool, dict):
            raise invalid(f"tools.{i}: Input should be a valid dictionary")
        kind = tool.get("type", "custom")
        name = tool.get("name")
        if not isinstance(name, str):
            raise invalid(f"tools.{i}.{kind}.name: Field required")
        if not _TOOL_NAME.fullmatch(name):
            raise invalid(
                f"tools.{i}.{kind}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'"
            )
        if name in names:
            raise invalid("tools: Tool names must be unique.")
        names.add(name)
        if kind == "custom":
            _check_schema(i, tool.get("input_schema"))


def _check_schema(i: int, schema: object) -> None:
    if not isinstance(schema, dict):
        raise invalid(f"tools.{i}.custom.input_schema: Field required")
    if schema.get("type") != "object":
        raise invalid(f"tools.{i}.custom.input_schema.type: Input should be 'object'")


def _check_tool_choice(body: Mapping[str, Any]) -> None:
    choice = body.get("tool_choice")
    if choice is None:
        return
    kind = choice.get("type")
    if kind not in ("auto", "any", "tool", "none"):
        raise invalid(
            f"tool_choice: Input tag '{kind}' found using 'type' does not match any of the "
            "expected tags: 'auto', 'any', 'tool', 'none'"
        )
    names = [tool["name"] for tool in body.get("tools") or ()]
    if not names and kind != "none":
        raise invalid("tool_choice may only be specified while providing tools.")
    if kind == "tool" and choice.get("name") not in names:
        raise invalid(f"Tool '{choice.get('name')}' not found in provided tools")


def _check_output(config: Mapping[str, Any]) -> None:
    effort = config.get("effort")
    if effort is not None and effort not in _EFFORTS:
        raise invalid("output_config.effort: Input should be 'low', 'medium', 'high' or 'max'")
    shape = config.get("format")
    if shape is not None and (shape.get("type") != "json_schema" or "schema" not in shape):
        raise invalid("output_config.format.type: Input should be 'json_schema'")
