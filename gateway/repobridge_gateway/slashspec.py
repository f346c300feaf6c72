"""The slash commands as people find them in Discord: names, descriptions, options; as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from repobridge_gateway.access import Permission

_CHAT_INPUT, _STRING = 1, 3
_GUILD_CONTEXT = [0]
TITLE_LENGTH = 90
MODES = ("default", "acceptEdits", "plan", "dontAsk")
MODELS = ("default", "opus", "sonnet", "haiku", "opusplan")
"""What is offered; others may be written."""


class Slash(StrEnum):
    """A command of ours."""

    STATUS = "status"
    CANCEL = "cancel"
    INTERRUPT = "interrupt"
    RESTART = "restart"
    CLEAR = "clear"
    NEW = "new"
    FORK = "fork"
    SESSIONS = "sessions"
    SLEEP = "sleep"
    DIFF = "diff"
    ATTACH = "attach"
    MODEL = "model"
    MODE = "mode"
    RELOAD = "reload"
    HELP = "help"


@dataclass(frozen=True, slots=True)
class Option:
    """Something to say with a command."""

    name: str
    description: str
    is_required: bool = False
    choices: tuple[str, ...] = ()
    is_completed: bool = False
    max_length: int = 100


@dataclass(frozen=True, slots=True)
class Spec:
    """A command's looks, and what it takes."""

    description: str
    permission: Permission = Permission.PROMPT
    """What it takes at least."""
    option: Option | None = None
    is_public: bool = False
    """Everybody in the channel reads what came of it."""


_TITLE = Option("title", "What the thread is called", max_length=TITLE_LENGTH)
_SESSION = Option("session", "Which one; this channel's by default", is_completed=True)
_MODEL = Option("model", "Its name, such as opus or sonnet", is_required=True, is_completed=True)
_MODE = Option("mode", "What the agent may do by itself", is_required=True, choices=MODES)
_MANAGE = Permission.MANAGE

SPECS: dict[Slash, Spec] = {
    Slash.STATUS: Spec("What runs, how long, with which model, and what waits", option=_SESSION),
    Slash.CANCEL: Spec("Stop the running turn", is_public=True),
    Slash.INTERRUPT: Spec("Stop the running turn, as /cancel does", is_public=True),
    Slash.RESTART: Spec("Start the agent again; it remembers", _MANAGE, is_public=True),
    Slash.CLEAR: Spec("Begin an empty session here", _MANAGE, is_public=True),
    Slash.NEW: Spec("Open a thread with a session of its own", option=_TITLE),
    Slash.FORK: Spec("Open a thread that goes on from this session's memory", option=_TITLE),
    Slash.SESSIONS: Spec("The sessions of this repository"),
    Slash.SLEEP: Spec("Let this repository's agent sleep once it is done", _MANAGE, is_public=True),
    Slash.DIFF: Spec("What the session has changed", option=_SESSION),
    Slash.ATTACH: Spec("How to open the session's live terminal"),
    Slash.MODEL: Spec("Change the session's model", _MANAGE, _MODEL, is_public=True),
    Slash.MODE: Spec("Change what the agent may do by itself", _MANAGE, _MODE, is_public=True),
    Slash.RELOAD: Spec("Read the gateway's settings again", Permission.RELOAD_CONFIG),
    Slash.HELP: Spec("What can be done here"),
}


def command_of(name: str) -> Slash | None:
    """A command by its name; None where it is none of ours."""
    try:
        return Slash(name)
    except ValueError:
        return None


def make_commands() -> list[dict[str, Any]]:
    """All commands, as Discord registers them for a guild."""
    return [_command(command, spec) for command, spec in SPECS.items()]


def help_text() -> str:
    """All commands, as people read them."""
    lines = ["Write here to ask the agent. Commands:"]
    for command, spec in SPECS.items():
        option = f" {spec.option.name}" if spec.option is not None else ""
        lines.append(f"`/{command}{option}` – {spec.description}")
    lines.append("`::name` – The agent's own command, such as `::compact` or `::review`")
    return "\n".join(lines)


def _command(command: Slash, spec: Spec) -> dict[str, Any]:
    return {
        "type": _CHAT_INPUT,
        "name": command.value,
        "description": spec.description,
        "options": [_option(spec.option)] if spec.option is not None else [],
        "contexts": _GUILD_CONTEXT,
        "integration_types": [0],
    }


def _option(option: Option) -> dict[str, Any]:
    told: dict[str, Any] = {
        "type": _STRING,
        "name": option.name,
        "description": option.description,
        "required": option.is_required,
        "max_length": option.max_length,
    }
    if option.choices:
        told["choices"] = [{"name": each, "value": each} for each in option.choices]
    if option.is_completed:
        told["autocomplete"] = True
    return told
