"""The runner's settings: read once from one JSON text, frozen, with units in their names."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from repobridge.errors import RepoBridgeError
from repobridge_runner.settingvalues import wrong_value

DEFAULT_ENVIRONMENT = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_*", "TZ", "TMPDIR",
    "ANTHROPIC_*", "CLAUDE_CODE_*",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
    "http_proxy", "https_proxy", "no_proxy", "all_proxy",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO",
)  # fmt: skip
"""Names, or prefixes that end in `*`, of the variables that reach an agent by default."""


class SettingsError(RepoBridgeError):
    """The settings are unusable; the message names the file or variable, and the field."""


@dataclass(frozen=True, kw_only=True)
class AgentSettings:
    """What runs in the PTY."""

    type: str = "claude"
    executable: str = "claude"
    """A path, or a name looked up in PATH."""
    model: str = ""
    """Empty: the agent's own default."""
    permission_mode: str = "default"
    append_system_prompt: str = ""
    allowed_tools: tuple[str, ...] = ()
    resume: bool = True
    """False: a session that slept or crashed starts empty, under a new generation."""
    environment_names: tuple[str, ...] = DEFAULT_ENVIRONMENT
    """Which of the runner's own variables reach the agent."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Further variables, by value."""
    commands: tuple[str, ...] = (
        "clear", "compact", "context", "init", "model", "review", "security-review",
    )  # fmt: skip
    """The agent's own slash commands that AGENT_COMMAND may run."""
    start_seconds: float = 60.0
    """How long the agent may take to stand at its prompt."""
    commit_name: str = ""
    """Who commits where git's configuration names nobody; empty: git's own guess."""
    commit_email: str = ""


@dataclass(frozen=True, kw_only=True)
class RepositorySettings:
    """What is checked out in the workspace."""

    url: str = ""
    """Empty: the directory is used as it is."""
    ref: str = ""
    credentials_dir: str = ""
    """A mounted Secret of type basic-auth or ssh-auth."""


@dataclass(frozen=True, kw_only=True)
class RunnerSettings:
    """Everything that a runner needs to know."""

    bridge_uid: str
    """The bridge's UID, a UUID: session ids derive from it."""
    directory: Path
    """The checkout, or where it will be."""
    state_dir: Path
    """The log, blobs, worktrees and the agent's own configuration; private to the runner."""
    socket: Path
    volume: str = ""
    """The root of a volume that is this bridge's alone, with `directory`, `state_dir` and HOME in
    it: agents may make no entries directly in it. Empty: there is none."""
    repository: RepositorySettings = RepositorySettings()
    agent: AgentSettings = AgentSettings()
    warm_start: bool = False
    """Starts the agent of the conversation used last, before a message asks for it; that of `main`
    where there was none."""
    live_sessions: int = 4
    """How many agent processes may live at once; the least recently used idle one exits first."""
    queue_length: int = 20
    """Messages that may wait in one session."""
    request_expiry_seconds: float = 1800.0
    """How long an approval or a question waits before it is denied."""
    confirm_seconds: float = 5.0
    """How long the hook may take to confirm a prompt, or an interrupt to show."""
    draft_seconds: float = 15.0
    """How long a half-typed line in a terminal is waited for before a message clears it."""
    shutdown_grace_seconds: float = 10.0
    log_max_bytes: int = 1 << 30
    guard_root_pid: int = 0
    """Descendants of this process may not use the socket; 0: the runner itself."""
    listen_address: str = ""
    """HOST:PORT for gateway and operator, who show certificates; empty: only the socket."""
    tls_directory: str = ""
    """Where tls.crt, tls.key and ca.crt are, for `listen_address`; read again as they change."""
    metrics_address: str = ""
    """HOST:PORT or unix:PATH for Prometheus, and for probes at /healthz; empty: none."""
    log_format: str = "text"


def load(path: Path) -> RunnerSettings:
    """Reads a settings file; raises SettingsError that names the file and the field."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: {error}") from error
    return parse(text, source=str(path))


def parse(text: str, *, source: str) -> RunnerSettings:
    """Reads settings; raises SettingsError that names `source` and the field."""
    try:
        settings = _build(RunnerSettings, json.loads(text), "")
    except (SettingsError, ValueError) as error:
        raise SettingsError(f"{source}: {error}") from None
    if wrong := wrong_value(settings):
        raise SettingsError(f"{source}: {wrong}")
    assert isinstance(settings, RunnerSettings)
    return settings


def dump(settings: RunnerSettings) -> str:
    """The JSON that `load` reads back."""
    return json.dumps(dataclasses.asdict(settings), default=str, indent=2)


def _build(kind: type, raw: Any, where: str) -> Any:
    if not isinstance(raw, dict):
        raise SettingsError(f"{where or 'the whole'} must be an object")
    hints = typing.get_type_hints(kind)
    known = {each.name: each for each in dataclasses.fields(kind)}
    for name in raw:
        if name not in known:
            raise SettingsError(f"{where}{name}: no such setting")
    for name, each in known.items():
        required = each.default is each.default_factory is dataclasses.MISSING
        if required and name not in raw:
            raise SettingsError(f"{where}{name}: is missing")
    return kind(**{name: _value(hints[name], raw[name], f"{where}{name}") for name in raw})


def _value(hint: Any, raw: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _build(hint, raw, f"{where}.")
    origin = typing.get_origin(hint)
    if origin is tuple and isinstance(raw, list) and all(isinstance(item, str) for item in raw):
        return tuple(raw)
    if origin is Mapping or (isinstance(origin, type) and issubclass(origin, Mapping)):
        if isinstance(raw, dict) and all(isinstance(value, str) for value in raw.values()):
            return dict(raw)
    elif hint is Path and isinstance(raw, str):
        return Path(raw)
    elif hint is float and isinstance(raw, int | float) and not isinstance(raw, bool):
        return float(raw)
    elif isinstance(hint, type) and isinstance(raw, hint) and not (hint is int and raw is True):
        return raw
    raise SettingsError(f"{where}: {json.dumps(raw)[:80]} is not {_expected(hint)}")


def _expected(hint: Any) -> str:
    names = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    return names.get(
        hint, "a list of texts" if typing.get_origin(hint) is tuple else "of the right kind"
    )
