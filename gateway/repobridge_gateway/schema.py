"""The keys of a configuration file, as llm-bridge defines them, and ours under `serve`.

Zeros mean the default, as in llm-bridge. What a value means beyond its own field (paths that exist,
channels that are used once) is checked in `config`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from repobridge import durations
from repobridge_gateway.policy_settings import PolicySettings


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _duration(value: object) -> object:
    if not isinstance(value, str):
        return value
    nanoseconds = durations.parse(value)
    if nanoseconds <= 0:
        raise ValueError(f'"{value}" is not longer than nothing')
    return nanoseconds


Nanoseconds = Annotated[int, BeforeValidator(_duration)]
Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Snowflake = Annotated[str, Field(pattern=r"^([0-9]{1,20})?$")]


class Worktree(_Section):
    """A further working tree of a repo, with a channel of its own."""

    name: Annotated[str, Field(min_length=1)]
    """The bridge is called REPO/NAME."""
    path: Annotated[str, Field(min_length=1)]
    """Absolute."""
    channel_id: Snowflake = ""
    """As for its repo."""
    branch: str = ""
    """For people; nothing is checked out."""


class Repo(_Section):
    """One bridge: a channel, and the directory that it talks about."""

    provider: Literal["discord", "terminal"] = "terminal"
    """Where its messages come from."""
    channel_id: str = ""
    """A Discord snowflake; the terminal has no use for it."""
    llm: Literal["", "claude"] = ""
    """Empty: what `defaults` says."""
    working_dir: Annotated[str, Field(min_length=1)]
    """The checkout; a relative path starts where `serve` was started. No two repos share one."""
    worktrees: tuple[Worktree, ...] = ()
    git_root: str = ""
    """llm-bridge's own note of a clone; accepted, and of no use here."""
    branch: str = ""
    """For people; nothing is checked out."""


class RateLimit(_Section):
    """Token buckets for messages, per second."""

    enabled: bool = True
    """Whether there are limits at all."""
    user_rate: Rate = 0.0
    """Messages per second of one person; 0: 0.5."""
    user_burst: Count = 0
    """How many of them at once; 0: 3."""
    channel_rate: Rate = 0.0
    """Messages per second in one channel; 0: 2."""
    channel_burst: Count = 0
    """How many of them at once; 0: 10."""


class Defaults(_Section):
    """What every repo shares."""

    llm: Literal["", "claude"] = "claude"
    """The agent."""
    claude_path: str = ""
    """The agent's program: a path, or a name that is looked up in PATH; empty: `claude`."""
    output_threshold: Count = 0
    """Characters above which an answer is sent to a channel as a file; 0: 1500."""
    idle_timeout: Nanoseconds = 10 * durations.MINUTE
    """How long a session may be idle before it sleeps."""
    resume_session: bool = True
    """Whether a session that slept remembers; false: it wakes empty."""
    rate_limit: RateLimit = RateLimit()
    base_dir: str = ""
    """Where llm-bridge's /clone puts checkouts; accepted, and of no use here."""


class Discord(_Section):
    """How to reach Discord."""

    bot_token: SecretStr = SecretStr("")
    """Write `${DISCORD_BOT_TOKEN}` rather than the token itself."""
    api_base: Annotated[str, Field(pattern=r"^(https?://.+)?$")] = ""
    """Where Discord's REST API is reached, with its version, for a proxy that stands in between;
    empty: Discord's own. RepoBridge's own key."""
    proxy: Annotated[str, Field(pattern=r"^(https?://.+)?$")] = ""
    """An HTTP proxy for all that goes to Discord; empty: none. RepoBridge's own key."""
    application_id: str = ""
    """Accepted, and of no use here."""
    public_key: str = ""
    """Accepted, and of no use here."""
    test_channel_id: str = ""
    """Accepted, and of no use here."""


class Providers(_Section):
    """Where messages come from."""

    discord: Discord = Discord()


class Serve(PolicySettings, _Section):
    """What RepoBridge adds to llm-bridge's format; llm-bridge itself ignores the section."""

    allowed_roots: tuple[str, ...] = ()
    """Directories that every working_dir must lie in, links resolved; absent: anywhere."""
    environment: tuple[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*\*?$")], ...] = ()
    """Names, or prefixes that end in `*`, of the variables that reach the agent; empty: the list
    below."""
    log_format: Literal["text", "json"] = "text"
    """Of the log on stderr; `--log-format` goes before it."""
    socket: str = ""
    """Where to listen; `--socket` goes before it. Empty: `$XDG_RUNTIME_DIR/repobridge/serve.sock`,
    or below the state directory where that variable is unset."""


class File(_Section):
    """The whole file."""

    repos: dict[str, Repo] = Field(default_factory=dict)
    defaults: Defaults = Defaults()
    providers: Providers = Providers()
    serve: Serve = Serve()


def section(path: tuple[str | int, ...]) -> type[BaseModel] | None:
    """The section that a path leads to, or None where it is a value."""
    kind: Any = File
    for step in path:
        kind = next(filter(None, (_inside(each, step) for each in _members(kind))), None)
    return next((each for each in _members(kind) if _is_section(each)), None)


def keys(model: type[BaseModel]) -> list[str]:
    """How the fields of a section are called in the file."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _inside(kind: Any, step: str | int) -> Any:
    """The type of what a key, or a place in a list, leads to; None where there is nothing."""
    origin, inner = get_origin(kind), get_args(kind)
    if _is_section(kind):
        fields = kind.model_fields.items()
        return next((f.annotation for name, f in fields if step in {name, f.alias}), None)
    if origin is tuple:
        return inner[0]
    is_mapping = isinstance(origin, type) and issubclass(origin, Mapping)
    return inner[1] if is_mapping else None


def _members(kind: Any) -> tuple[Any, ...]:
    """Each type that a value may have."""
    return get_args(kind) if get_origin(kind) in {Union, UnionType} else (kind,)


def _is_section(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
