"""How the Claude CLI is started: arguments, environment and configuration, none of it the repo's.

The configuration lies in a directory of the session's own and is seeded so that no first-run
dialog ever shows. The repository's settings, hooks and MCP servers are not read
(`--setting-sources user`, `--strict-mcp-config`); its CLAUDE.md is, as an import of the user's
memory.
"""

from __future__ import annotations

import fnmatch
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from repobridge_runner.agents.base import Start
from repobridge_runner.agents.claude_hooks import make_hook_settings, rule_text
from repobridge_runner.hooks import HookEndpoint
from repobridge_runner.settings import AgentSettings

TOKEN_VARIABLE = "REPOBRIDGE_HOOK_TOKEN"  # noqa: S105 - a variable's name
STATUS_FILE = "status.json"
STATUS_COMMAND = (
    f'cat > "$CLAUDE_CONFIG_DIR/{STATUS_FILE}.new"'
    f' && mv "$CLAUDE_CONFIG_DIR/{STATUS_FILE}.new" "$CLAUDE_CONFIG_DIR/{STATUS_FILE}"'
)
"""What the CLI tells its status line, the cost among it, is kept for us and shows nothing."""
_QUIET = {
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_INSTALLATION_CHECKS": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "CLAUDE_CODE_DISABLE_FEEDBACK_SURVEY": "1",
    "CLAUDE_CODE_DISABLE_TERMINAL_TITLE": "1",
    # Enter on an empty box would send a suggestion that nobody wrote.
    "CLAUDE_CODE_ENABLE_PROMPT_SUGGESTION": "false",
    "CLAUDE_CODE_DISABLE_ALTERNATE_SCREEN": "1",
    "TERM": "xterm-256color",
    "COLORTERM": "truecolor",
}
_MEMORY_FILES = ("CLAUDE.md", ".claude/CLAUDE.md", "CLAUDE.local.md")


def make_arguments(
    executable: str,
    start: Start,
    *,
    endpoint: HookEndpoint,
    has_transcript: bool,
    allowed_tools: Sequence[str],
    held_seconds: int,
) -> list[str]:
    """The command line of one agent process."""
    allowed = [*allowed_tools, *(rule_text(rule) for rule in start.rules)]
    settings = {
        "hooks": make_hook_settings(
            endpoint.url, token_variable=TOKEN_VARIABLE, held_seconds=held_seconds
        ),
        "permissions": {"allow": allowed},
        "statusLine": {"type": "command", "command": STATUS_COMMAND},
    }
    arguments = [executable, "--settings", json.dumps(settings)]
    arguments += ["--setting-sources", "user", "--strict-mcp-config"]
    if start.fork_of and not has_transcript:
        arguments += ["--resume", start.fork_of, "--fork-session"]
        arguments += ["--session-id", start.session_id]
    else:
        arguments += ["--resume" if has_transcript else "--session-id", start.session_id]
    if start.model:
        arguments += ["--model", start.model]
    if start.permission_mode:
        arguments += ["--permission-mode", start.permission_mode]
    if start.system_prompt:
        arguments += ["--append-system-prompt", start.system_prompt]
    return arguments


def make_environment(
    own: Mapping[str, str],
    *,
    agent: AgentSettings,
    start: Start,
    config_directory: Path,
    endpoint: HookEndpoint,
) -> dict[str, str]:
    """The agent's whole environment: what the settings let through, then what we set."""
    passed = {
        name: value
        for name, value in own.items()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in agent.environment_names)
    }
    ours = {
        **_QUIET,
        "CLAUDE_CONFIG_DIR": str(config_directory),
        TOKEN_VARIABLE: endpoint.token,
    }
    if start.resume_turn:
        ours["CLAUDE_CODE_RESUME_INTERRUPTED_TURN"] = "1"
    passed.setdefault("PATH", os.defpath)
    passed.setdefault("LANG", "C.UTF-8")
    whole = {**passed, **agent.environment, **start.environment, **ours}
    # The hooks are on loopback: through a proxy none would arrive.
    whole |= {name: _past_proxies(whole.get(name, "")) for name in ("NO_PROXY", "no_proxy")}
    return whole


def _past_proxies(listed: str) -> str:
    return ",".join(part for part in (listed, "127.0.0.1,localhost") if part)


def seed_configuration(
    config_directory: Path, *, directory: Path, environment: Mapping[str, str]
) -> None:
    """Writes what the CLI must find so that it opens straight at its prompt."""
    config_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = config_directory / ".claude.json"
    config = _read_json(path)
    config["hasCompletedOnboarding"] = True
    config.setdefault("theme", "dark")
    approved = [environment[name][-20:] for name in ("ANTHROPIC_API_KEY",) if environment.get(name)]
    config["customApiKeyResponses"] = {"approved": approved, "rejected": []}
    projects = config.setdefault("projects", {})
    for place in (directory, *directory.parents[:-1]):
        # A worktree is trusted through its repository: the CLI asks about the root that it finds.
        if place == directory or (place / ".git").exists():
            projects.setdefault(str(place), {})["hasTrustDialogAccepted"] = True
    _write(path, json.dumps(config))
    imports = [f"@{directory / name}" for name in _MEMORY_FILES if (directory / name).is_file()]
    _write(config_directory / "CLAUDE.md", "".join(f"{line}\n" for line in imports))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _write(path: Path, text: str) -> None:
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
