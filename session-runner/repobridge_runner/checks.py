"""What a call may contain: each wrong thing a refusal that says what, where, and what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from repobridge.errors import Refusal, Status
from repobridge.session.events import MessageKind
from repobridge_runner.inputs import canonical
from repobridge_runner.store import MessageRow

_CONVERSATION = re.compile(r"[A-Za-z0-9._-]{1,100}")
_IDENTIFIER = re.compile(r"[\x21-\x7e]{1,100}")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@\[\]-]{0,99}")
_COMMAND = re.compile(r"/([a-z][a-z0-9:_-]*)(?: +(.{1,2000}))?", re.S)
MODES = ("default", "acceptEdits", "plan", "dontAsk")


def conversation(value: str) -> str:
    """A conversation id."""
    if not _CONVERSATION.fullmatch(value):
        raise _invalid(
            "BAD_CONVERSATION_ID",
            f"conversation_id: {value[:120]!r} must be 1 to 100 characters"
            " of A-Z, a-z, 0-9, '.', '_' and '-'.",
        )
    return value


def identifier(value: str, field: str) -> str:
    """An id that a client chose."""
    if not _IDENTIFIER.fullmatch(value):
        raise _invalid(
            "BAD_ID",
            f"{field}: {value[:120]!r} must be 1 to 100 printable ASCII characters without spaces.",
        )
    return value


def model(value: str) -> str:
    """A model's name or alias."""
    if not _MODEL.fullmatch(value):
        raise _invalid(
            "UNKNOWN_MODEL",
            f"model: {value[:120]!r} is no name of a model; say for example opus or sonnet.",
        )
    return value


def mode(value: str) -> str:
    """A permission mode."""
    if value not in MODES:
        raise _invalid(
            "UNKNOWN_MODE", f"permission_mode: {value[:120]!r} is none of {', '.join(MODES)}."
        )
    return value


def message(submitted: MessageRow, *, commands: Sequence[str]) -> MessageRow:
    """A submitted message, made ready; raises Refusal."""
    if submitted.kind is MessageKind.AGENT_COMMAND:
        return replace(submitted, text=_command(submitted.text.strip(), commands))
    if not canonical(submitted.text) and not submitted.attachments:
        raise empty()
    return submitted


def _command(text: str, commands: Sequence[str]) -> str:
    found = _COMMAND.fullmatch(text)
    if found is None or found.group(1) not in commands:
        allowed = ", ".join(f"/{name}" for name in commands)
        raise Refusal(
            Status.INVALID_ARGUMENT,
            "COMMAND_NOT_ALLOWED",
            f"{text[:60]!r} is not one of the agent's commands that may be sent here: {allowed}.",
            {"allowed": allowed},
        )
    name, words = found.groups()
    if name == "model":
        return f"/model {model((words or '').strip())}"
    # What a person adds to a command is as much data as any other text.
    told = " ".join(canonical(words or "").split())
    return f"/{name} {told}".rstrip()


def empty() -> Refusal:
    """The refusal of a message without content."""
    return _invalid(
        "EMPTY_MESSAGE", "text: the message is empty; write something, or attach a file."
    )


def too_large(size: int, limit: int) -> Refusal:
    """The refusal of a message over the limit."""
    return Refusal(
        Status.INVALID_ARGUMENT,
        "MESSAGE_TOO_LARGE",
        f"The message has {size} bytes and may have {limit}; send it as a file with Upload.",
        {"size": str(size), "limit": str(limit), "call": "Upload"},
    )


def _invalid(reason: str, sentence: str) -> Refusal:
    return Refusal(Status.INVALID_ARGUMENT, reason, sentence, {})
