"""Between the Claude CLI's hook JSON and the runner's own values; pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from repobridge.session.events import Scope, Suggestion
from repobridge_runner.agents.base import (
    Answers,
    Compacted,
    Compacting,
    Permission,
    PermissionWanted,
    PromptTaken,
    QuestionsAsked,
    Report,
    TextShown,
    ToolBegan,
    ToolFinished,
    TurnFailed,
    TurnStopped,
)

HOOK_SECONDS = {"MessageDisplay": 30, "UserPromptSubmit": 30, "SessionEnd": 2}
EVENTS = (
    "UserPromptSubmit",
    "PreToolUse",
    "PostToolUse",
    "PostToolUseFailure",
    "PermissionRequest",
    "MessageDisplay",
    "Stop",
    "StopFailure",
    "PreCompact",
    "PostCompact",
    "SessionEnd",
)
QUESTION_TOOL = "AskUserQuestion"
PLAN_TOOL = "ExitPlanMode"
Payload = Mapping[str, Any]


def make_hook_settings(url: str, *, token_variable: str, held_seconds: int) -> dict[str, Any]:
    """The `hooks` setting that posts every event to one URL.

    Hooks that people answer get a time-out beyond the runner's own expiry, as the CLI's dialog
    would stay after its own.
    """

    def entry(event: str) -> list[dict[str, Any]]:
        hook = {
            "type": "http",
            "url": url,
            "headers": {"Authorization": f"Bearer ${token_variable}"},
            "allowedEnvVars": [token_variable],
            "timeout": HOOK_SECONDS.get(event, held_seconds),
        }
        return [{"hooks": [hook]}]

    return {event: entry(event) for event in EVENTS}


def read_hook(payload: Payload) -> Report | None:
    """What a hook reports; None for one that tells nothing."""
    reader = _READERS.get(str(payload.get("hook_event_name")))
    return reader(payload) if reader else None


def write_permission(permission: Permission) -> dict[str, Any]:
    """The answer to a PermissionRequest hook."""
    decision: dict[str, Any] = {"behavior": "allow" if permission.allow else "deny"}
    if not permission.allow:
        decision["message"] = permission.message
    elif permission.updates:
        decision["updatedPermissions"] = list(permission.updates)
    return _output("PermissionRequest", decision=decision)


def write_answers(asked: QuestionsAsked, answers: Answers) -> dict[str, Any]:
    """The answer to the PreToolUse hook of a question."""
    if answers.answers is None:
        reason = answers.reason or "Nobody answered."
        return _output("PreToolUse", permissionDecision="deny", permissionDecisionReason=reason)
    updated = {**asked.input, "answers": dict(answers.answers)}
    return _output("PreToolUse", permissionDecision="allow", updatedInput=updated)


def _output(event: str, **fields: Any) -> dict[str, Any]:
    return {"hookSpecificOutput": {"hookEventName": event, **fields}}


def _prompt_taken(payload: Payload) -> Report:
    return PromptTaken(_text(payload, "prompt"), _text(payload, "prompt_id"))


def _text_shown(payload: Payload) -> Report:
    return TextShown(
        prompt_id=_text(payload, "prompt_id"),
        block_id=_text(payload, "message_id"),
        index=int(payload.get("index") or 0),
        text=_text(payload, "delta"),
        final=bool(payload.get("final")),
        parent_tool_use_id=_text(payload, "parent_tool_use_id") or _text(payload, "agent_id"),
    )


def _tool_began(payload: Payload) -> Report:
    if payload.get("tool_name") == QUESTION_TOOL:
        return QuestionsAsked(
            _text(payload, "prompt_id"), _text(payload, "tool_use_id"), _input(payload)
        )
    return ToolBegan(
        prompt_id=_text(payload, "prompt_id"),
        tool_use_id=_text(payload, "tool_use_id"),
        name=_text(payload, "tool_name"),
        input=_input(payload),
    )


def _tool_finished(payload: Payload) -> Report:
    failed = payload.get("hook_event_name") == "PostToolUseFailure"
    response = payload.get("error") if failed else payload.get("tool_response")
    return ToolFinished(
        prompt_id=_text(payload, "prompt_id"),
        tool_use_id=_text(payload, "tool_use_id"),
        name=_text(payload, "tool_name"),
        input=_input(payload),
        ok=not failed,
        cancelled=bool(payload.get("is_interrupt")),
        duration_ms=int(payload.get("duration_ms") or 0),
        output=_output_text(response),
    )


def _permission_wanted(payload: Payload) -> Report:
    return PermissionWanted(
        prompt_id=_text(payload, "prompt_id"),
        tool_name=_text(payload, "tool_name"),
        input=_input(payload),
        suggestions=_suggestions(payload.get("permission_suggestions") or ()),
    )


def _stopped(payload: Payload) -> Report:
    return TurnStopped(
        prompt_id=_text(payload, "prompt_id"),
        text=_text(payload, "last_assistant_message"),
        background_tasks=len(payload.get("background_tasks") or ()),
        session_crons=len(payload.get("session_crons") or ()),
    )


def _failed(payload: Payload) -> Report:
    message = _text(payload, "error_details") or _text(payload, "last_assistant_message")
    return TurnFailed(_text(payload, "prompt_id"), _text(payload, "error") or "unknown", message)


def _compacting(payload: Payload) -> Report:
    return Compacting(_text(payload, "trigger"))


def _compacted(payload: Payload) -> Report:
    return Compacted(_text(payload, "trigger"))


_READERS = {
    "UserPromptSubmit": _prompt_taken,
    "MessageDisplay": _text_shown,
    "PreToolUse": _tool_began,
    "PostToolUse": _tool_finished,
    "PostToolUseFailure": _tool_finished,
    "PermissionRequest": _permission_wanted,
    "Stop": _stopped,
    "StopFailure": _failed,
    "PreCompact": _compacting,
    "PostCompact": _compacted,
}


def _suggestions(raw: Sequence[Any]) -> tuple[tuple[Suggestion, Mapping[str, Any]], ...]:
    return tuple(
        (Suggestion(f"s{number}", _label(each), _scope(each)), each)
        for number, each in enumerate(raw)
        if isinstance(each, dict)
    )


def _scope(suggestion: Mapping[str, Any]) -> Scope:
    return Scope.SESSION if suggestion.get("destination") == "session" else Scope.ALWAYS


def _label(suggestion: Mapping[str, Any]) -> str:
    match suggestion.get("type"):
        case "addRules":
            return ", ".join(rule_text(rule) for rule in suggestion.get("rules", ()))
        case "addDirectories":
            return "work in " + ", ".join(map(str, suggestion.get("directories", ())))
        case "setMode":
            return f"switch to permission mode {suggestion.get('mode')}"
        case other:
            return str(other)


def rule_text(rule: Mapping[str, Any]) -> str:
    """A permission rule as the CLI writes it: `Bash(git push *)`."""
    content = rule.get("ruleContent")
    return f"{rule.get('toolName')}({content})" if content else str(rule.get("toolName"))


def _output_text(response: Any) -> str:
    if isinstance(response, str):
        return response
    if isinstance(response, dict) and isinstance(response.get("stdout"), str):
        both = (response["stdout"], response.get("stderr") or "")
        return "\n".join(part for part in both if part)
    return "" if response is None else json.dumps(response, ensure_ascii=False)


def _text(payload: Payload, name: str) -> str:
    value = payload.get(name)
    return value if isinstance(value, str) else ""


def _input(payload: Payload) -> Mapping[str, Any]:
    value = payload.get("tool_input")
    return value if isinstance(value, dict) else {}
