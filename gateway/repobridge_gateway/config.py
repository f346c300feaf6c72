"""The configuration of `repobridge serve`: llm-bridge's own file, checked whole at the start.

Every problem names the file, the line and the field, and all of them are told at once.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import pydantic

from repobridge import durations
from repobridge.errors import RepoBridgeError
from repobridge.paths import WorkingDirError, resolve_working_dir
from repobridge.problem_words import problem_words
from repobridge_gateway import document as documents
from repobridge_gateway import schema
from repobridge_gateway.access import OPEN
from repobridge_gateway.authority import Policy
from repobridge_gateway.document import Document, Problem, dotted
from repobridge_gateway.policy_settings import (
    BucketSettings,
    LimitsSettings,
    PolicySettings,
    RateSettings,
)

DEFAULT_FILE = "llm-bridge.yaml"
FILE_VARIABLE = "LLM_BRIDGE_CONFIG"
_LARGEST_BYTES = 1 << 20
_MOST = 1000
"""A bucket's largest numbers; Discord itself lets nobody write as fast."""


KEYS: Mapping[str, str] = MappingProxyType(
    {
        "bridges": "repos",
        "claude_path": "defaults.claude_path",
        "output_threshold": "defaults.output_threshold",
        "idle_nanoseconds": "defaults.idle_timeout",
        "resume_session": "defaults.resume_session",
        "discord_token": "providers.discord.bot_token",
        "discord_api_base": "providers.discord.api_base",
        "discord_proxy": "providers.discord.proxy",
        "environment": "serve.environment",
        "log_format": "serve.log_format",
        "socket": "serve.socket",
    }
)
"""The keys of what a `Config` says, but for its policy."""
LIVE = frozenset({"policy_settings", "output_threshold", "idle_nanoseconds"})
"""What of a `Config` changes while `serve` runs."""


class ConfigError(RepoBridgeError):
    """A configuration is unusable; its text has one line for each problem."""

    def __init__(self, path: Path, problems: tuple[Problem, ...]) -> None:
        self.path = path
        self.problems = problems
        super().__init__("\n".join(_line(path, problem) for problem in problems))


@dataclass(frozen=True, kw_only=True)
class Bridge:
    """One repo of the file."""

    name: str
    provider: str
    """"discord" or "terminal"."""
    channel_id: str
    llm: str
    working_dir: Path
    """Links resolved."""
    branch: str = ""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What `serve` does, every default filled in."""

    path: Path
    bridges: tuple[Bridge, ...]
    """In the file's order."""
    discord_token: pydantic.SecretStr
    discord_api_base: str = ""
    discord_proxy: str = ""
    claude_path: str = "claude"
    output_threshold: int = 1500
    idle_nanoseconds: int = 10 * durations.MINUTE
    resume_session: bool = True
    environment: tuple[str, ...] = ()
    """Which variables reach the agent; empty: the runner's own list."""
    log_format: str = "text"
    socket: str = ""
    policy_settings: PolicySettings = field(default_factory=PolicySettings)
    """Who may do what and how much, with the limits of rate that llm-bridge's own key sets."""

    def differences(self, other: Config) -> tuple[str, ...]:
        """The settings that are not the same, by their keys in the file."""
        mine, others = self._by_key(), other._by_key()
        return tuple(key for key, value in mine.items() if value != others[key])

    def over(self, started: Config) -> Config:
        """This where it can change live, and what `serve` started with elsewhere."""
        return replace(started, **{name: getattr(self, name) for name in LIVE})

    def _by_key(self) -> Mapping[str, object]:
        said = self.policy_settings
        limits = {"defaults.rate_limit or serve.limits": said.limits}
        policy = {"serve.access": said.access, **limits, "serve.guilds": said.guilds}
        return policy | {key: getattr(self, name) for name, key in KEYS.items()}

    @property
    def is_open(self) -> bool:
        """Whether whoever can write in a channel may ask and decide there: nothing is said."""
        return not self.policy_settings.says_who_may

    @property
    def policy(self) -> Policy:
        """What holds in channels."""
        said = self.policy_settings.policy()
        return replace(said, rules=OPEN.rules) if self.is_open else said

    @property
    def idle_text(self) -> str:
        """The idle time-out as Go prints it: "10m0s"."""
        return durations.text(self.idle_nanoseconds)


def default_path(environment: Mapping[str, str]) -> Path:
    """Where the file is when no option names it."""
    return Path(environment.get(FILE_VARIABLE) or DEFAULT_FILE)


def load(path: Path, environment: Mapping[str, str]) -> Config:
    """The configuration in a file; raises ConfigError with everything that is wrong with it."""
    document = documents.read(_text(path), environment)
    if document.problems and document.value is None:
        raise ConfigError(path, tuple(document.problems))
    file = _validated(document)
    bridges = _bridges(file, document) if file else ()
    if document.problems or file is None:
        raise ConfigError(path, tuple(sorted(set(document.problems))))
    defaults = file.defaults
    return Config(
        path=path,
        bridges=bridges,
        claude_path=defaults.claude_path or "claude",
        output_threshold=defaults.output_threshold or 1500,
        idle_nanoseconds=defaults.idle_timeout,
        resume_session=defaults.resume_session,
        discord_token=file.providers.discord.bot_token,
        discord_api_base=file.providers.discord.api_base,
        discord_proxy=file.providers.discord.proxy,
        environment=file.serve.environment,
        log_format=file.serve.log_format,
        socket=file.serve.socket,
        policy_settings=PolicySettings(
            access=file.serve.access,
            limits=_limits(defaults.rate_limit, file.serve.limits),
            guilds=file.serve.guilds,
        ),
    )


def _limits(below: schema.RateLimit, said: LimitsSettings) -> LimitsSettings:
    """What `serve.limits` says, with the limits of rate that it leaves to llm-bridge's key."""
    rate = said.rate or RateSettings(enabled=below.enabled)
    user = BucketSettings(
        per_second=min(below.user_rate or 0.5, _MOST), burst=min(below.user_burst or 3, _MOST)
    )
    channel = BucketSettings(
        per_second=min(below.channel_rate or 2.0, _MOST),
        burst=min(below.channel_burst or 10, _MOST),
    )
    return LimitsSettings(
        rate=RateSettings(
            enabled=rate.enabled,
            user=rate.user or user,
            channel=rate.channel or channel,
            windows=rate.windows,
        ),
        budgets=said.budgets,
    )


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_BYTES + 1)
    except FileNotFoundError as error:
        hint = f"name one with --config or {FILE_VARIABLE}"
        raise ConfigError(path, (Problem(0, "", f"no such file; {hint}"),)) from error
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise ConfigError(path, (Problem(0, "", f"cannot be read: {reason}"),)) from error
    if len(content) > _LARGEST_BYTES:
        raise ConfigError(path, (Problem(0, "", "is larger than 1 MiB"),))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(path, (Problem(line, "", "is not UTF-8"),)) from error


def _validated(document: Document) -> schema.File | None:
    if document.value is None:
        document.value = {}
    try:
        return schema.File.model_validate(document.value)
    except pydantic.ValidationError as error:
        for each in error.errors(include_url=False):
            path = tuple(step for step in each["loc"] if step != "[key]")
            message = _sentence(each["type"], path, each.get("ctx", {}), each["msg"])
            _report(document, path, message)
    return None


def _report(document: Document, path: documents.Path, message: str) -> None:
    name = dotted(path)
    # What could not be expanded is wrong once, not also as the value that it then has.
    if all(problem.field != name for problem in document.problems):
        document.problems.append(Problem(document.line(path), name, message))


def _sentence(kind: str, path: documents.Path, context: Mapping[str, object], text: str) -> str:
    if kind == "extra_forbidden":
        return _unknown_key(path)
    if kind == "string_pattern_mismatch":
        return _pattern(str(path[-1]))
    return problem_words(kind, context, text)


def _pattern(field: str) -> str:
    if field == "channel_id":
        return "must be a Discord id: digits only"
    return 'must be the name of a variable, or a prefix that ends in "*"'


def _unknown_key(path: documents.Path) -> str:
    name, around = str(path[-1]), schema.section(path[:-1])
    known = schema.keys(around) if around else []
    close = difflib.get_close_matches(name, known, 1)
    if close:
        return f'no such key; did you mean "{close[0]}"?'
    homes = ((), ("defaults",), ("defaults", "rate_limit"), ("providers", "discord"), ("serve",))
    for home in homes:
        section = schema.section(home)
        if section and name in section.model_fields:
            where = f'under "{dotted(home)}"' if home else "at the top of the file"
            return f"no such key here; it belongs {where}"
    return f"no such key; known here: {', '.join(known)}"


def _bridges(file: schema.File, document: Document) -> tuple[Bridge, ...]:
    """The file's repos, each of their worktrees a bridge of its own, as in llm-bridge."""
    found: dict[str, tuple[Bridge, documents.Path]] = {}

    def problem(path: documents.Path, message: str) -> None:
        _report(document, path, message)

    roots = _roots(file.serve.allowed_roots, problem)
    for name, repo in file.repos.items():
        where: documents.Path = ("repos", name)
        llm = repo.llm or file.defaults.llm or "claude"
        _check_name(name, where, problem)
        directory = _directory(repo.working_dir, roots, (*where, "working_dir"), problem)
        bridge = Bridge(
            name=name,
            provider=repo.provider,
            channel_id=repo.channel_id,
            llm=llm,
            working_dir=directory,
            branch=repo.branch,
        )
        _add(found, bridge, where, problem)
        for index, tree in enumerate(repo.worktrees):
            inner: documents.Path = (*where, "worktrees", index)
            if not Path(tree.path).is_absolute():
                problem((*inner, "path"), f'"{tree.path}" is not absolute')
                continue
            child = Bridge(
                name=f"{name}/{tree.name}",
                provider=repo.provider,
                channel_id=tree.channel_id,
                llm=llm,
                working_dir=_directory(tree.path, roots, (*inner, "path"), problem),
                branch=tree.branch,
            )
            _check_name(child.name, (*inner, "name"), problem)
            _add(found, child, inner, problem)
    return tuple(bridge for bridge, _ in found.values())


_Report = Callable[[documents.Path, str], None]


def _add(
    found: dict[str, tuple[Bridge, documents.Path]],
    bridge: Bridge,
    where: documents.Path,
    problem: _Report,
) -> None:
    if bridge.name in found:
        problem(where, f'is named "{bridge.name}" like {dotted(found[bridge.name][1])}')
    if bridge.provider == "discord":
        if not bridge.channel_id:
            problem(where, "has provider discord and lacks a channel_id")
        elif not (bridge.channel_id.isascii() and bridge.channel_id.isdigit()):
            problem((*where, "channel_id"), "must be a Discord id: digits only")
    for other, path in found.values():
        if bridge.channel_id and other.channel_id == bridge.channel_id:
            problem((*where, "channel_id"), f"is the channel of {dotted(path)} too")
        if other.working_dir == bridge.working_dir != Path():
            # Two sessions in one checkout would write over each other.
            problem(where, f"works in the directory of {dotted(path)} too")
    found.setdefault(bridge.name, (bridge, where))


def _check_name(name: str, path: documents.Path, problem: _Report) -> None:
    if not name or len(name) > 100 or not name.isprintable() or name != name.strip():
        problem(path, "needs a name of 1 to 100 printable characters")


def _roots(written: tuple[str, ...], problem: _Report) -> tuple[Path, ...]:
    for index, text in enumerate(written):
        if not Path(text).is_absolute():
            problem(("serve", "allowed_roots", index), f'"{text}" is not absolute')
    return tuple(Path(text) for text in written)


def _directory(
    written: str, roots: tuple[Path, ...], field: documents.Path, problem: _Report
) -> Path:
    """The directory that a text names, links resolved; Path() where there is a problem."""
    if written.startswith("~"):
        problem(field, f'"{written}": a "~" is not expanded; write $HOME')
        return Path()
    try:
        # Relative to where serve was started, as in llm-bridge.
        return resolve_working_dir(Path.cwd() / written, roots)
    except WorkingDirError as error:
        problem(field, str(error).removeprefix("working_dir ").rstrip("."))
        return Path()


def _line(path: Path, problem: Problem) -> str:
    where = f"{path}:{problem.line}" if problem.line else str(path)
    field = f"{problem.field}: " if problem.field else ""
    return f"{where}: {field}{problem.message}"
