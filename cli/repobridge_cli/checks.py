"""The checks of `doctor`: each a fact about this machine, and how to mend it."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import socket as sockets
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from repobridge_gateway import config as configs
from repobridge_gateway import places
from repobridge_gateway.config import Config, ConfigError
from repobridge_gateway.serve import NothingToServe, servable
from repobridge_runner.version import OLDEST, parse

OLDEST_GIT = (2, 31)
"""The first with GIT_CONFIG_COUNT, by which credentials stay out of URLs and command lines."""
CREDENTIALS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN")
_VERSION_SECONDS = 20
_NR_LANDLOCK_CREATE_RULESET = 444
_LANDLOCK_VERSION_FLAG = 1


class Level(IntEnum):
    """How bad a finding is."""

    OK = 0
    INFO = 1
    WARNING = 2
    FAILED = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found, and how to mend it (empty: nothing to mend)."""

    level: Level
    subject: str
    text: str
    mend: str = ""


def every_check(environment: Mapping[str, str], *, config: str, socket: str) -> Iterator[Finding]:
    """Every finding, in the order in which a newcomer would mend them."""
    loaded, finding = check_config(environment, config)
    yield check_claude(loaded.claude_path if loaded else "claude", environment)
    yield check_credentials(environment)
    yield check_git(environment)
    yield finding
    yield check_state_dir(places.state_dir(environment))
    yield check_socket(Path(socket).absolute() if socket else places.serve_socket(environment))
    yield from check_kernel()


def check_claude(executable: str, environment: Mapping[str, str]) -> Finding:
    """The Claude CLI: there, and of a version that can be trusted."""
    subject = "Claude CLI"
    oldest = ".".join(map(str, OLDEST))
    install = "npm install -g @anthropic-ai/claude-code"
    path = shutil.which(executable, path=environment.get("PATH"))
    if path is None:
        mend = f"install it ({install}) or set defaults.claude_path to where it is"
        return Finding(Level.FAILED, subject, f'there is no program "{executable}"', mend)
    said = _version(path, environment)
    numbers = parse(said)
    if numbers is None:
        return Finding(
            Level.FAILED, subject, f"{path} does not tell its version", f"reinstall it: {install}"
        )
    version = ".".join(map(str, numbers))
    if numbers < OLDEST:
        text = f"{path} is version {version}; RepoBridge needs {oldest} or later"
        return Finding(Level.FAILED, subject, text, f"update it: {install}@latest")
    if numbers[0] > OLDEST[0]:
        text = f"{path} is version {version}, which RepoBridge does not know"
        return Finding(Level.WARNING, subject, text, f"prefer a version {OLDEST[0]}.x")
    return Finding(Level.OK, subject, f"{version} at {path}")


def check_git(environment: Mapping[str, str]) -> Finding:
    """Git: there, and new enough."""
    path = shutil.which("git", path=environment.get("PATH"))
    oldest = ".".join(map(str, OLDEST_GIT))
    if path is None:
        return Finding(
            Level.FAILED, "git", "is not installed", "install git with your package manager"
        )
    said = _version(path, environment)
    numbers = parse(said) or (0,)
    if numbers < OLDEST_GIT:
        text = f"{said or path} is too old; RepoBridge needs {oldest} or later"
        return Finding(Level.FAILED, "git", text, "update git with your package manager")
    return Finding(Level.OK, "git", f"{'.'.join(map(str, numbers))} at {path}")


def check_credentials(environment: Mapping[str, str]) -> Finding:
    """Something that lets the agent reach a model; the value itself is never shown."""
    subject = "credentials"
    found = [name for name in CREDENTIALS if environment.get(name)]
    proxy = environment.get("ANTHROPIC_BASE_URL")
    if found:
        where = f", for the API at {_without_secrets(proxy)}" if proxy else ""
        return Finding(Level.OK, subject, f"{', '.join(found)} is set{where}")
    if proxy:
        text = f"no key is set; ANTHROPIC_BASE_URL is ({_without_secrets(proxy)})"
        return Finding(Level.OK, subject, text)
    for switch in ("CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX"):
        if environment.get(switch):
            return Finding(Level.OK, subject, f"{switch} is set")
    mend = "export ANTHROPIC_API_KEY=…, or CLAUDE_CODE_OAUTH_TOKEN from `claude setup-token`"
    return Finding(Level.FAILED, subject, "nothing lets the agent reach a model", mend)


def check_config(environment: Mapping[str, str], named: str) -> tuple[Config | None, Finding]:
    """The configuration file."""
    path = Path(named) if named else configs.default_path(environment)
    try:
        loaded = configs.load(path, environment)
    except ConfigError as error:
        mend = "write one; README.md shows how" if not path.exists() else "correct the lines above"
        return None, Finding(Level.FAILED, "configuration", str(error), mend)
    try:
        bridges = servable(loaded)
    except NothingToServe as error:
        return loaded, Finding(Level.FAILED, "configuration", str(error), "add a repo")
    return loaded, Finding(Level.OK, "configuration", f"{path}, {len(bridges)} repos to serve")


def check_state_dir(directory: Path) -> Finding:
    """Where sessions are kept: ours, private, with room."""
    subject = "state directory"
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        mend = f"make {existing} writable for you, or set XDG_STATE_HOME"
        return Finding(Level.FAILED, subject, f"{directory} can't be written", mend)
    if existing == directory:
        found = directory.stat()
        if found.st_uid != os.geteuid():
            mend = f"chown it, or set XDG_STATE_HOME; it belongs to uid {found.st_uid}"
            return Finding(Level.FAILED, subject, f"{directory} is another user's", mend)
        if stat.S_IMODE(found.st_mode) & 0o077:
            text = f"{directory} is open to other users"
            return Finding(Level.FAILED, subject, text, f"chmod 700 {directory}")
    usage = shutil.disk_usage(existing)
    if usage.free < usage.total // 10:
        text = f"{directory}: the disk is {100 - 100 * usage.free // usage.total} % full"
        return Finding(
            Level.WARNING, subject, text, "free some room: at 90 % new messages are refused"
        )
    return Finding(Level.OK, subject, str(directory))


def check_socket(path: Path) -> Finding:
    """Whether `serve` runs, or could."""
    subject = "socket"
    length = len(os.fsencode(path))
    if length > places.LONGEST_SOCKET_PATH:
        mend = "choose a shorter one with --socket"
        return Finding(Level.FAILED, subject, f"{path} is too long ({length} bytes)", mend)
    if path.parent.exists() and stat.S_IMODE(path.parent.stat().st_mode) & 0o077:
        text = f"{path.parent} is open to other users"
        return Finding(Level.FAILED, subject, text, f"chmod 700 {path.parent}")
    with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as probe:
        probe.settimeout(2)
        try:
            probe.connect(os.fspath(path))
        except OSError:
            return Finding(Level.INFO, subject, f"serve does not run (it would listen at {path})")
    return Finding(Level.OK, subject, f"serve listens at {path}")


def check_kernel() -> Iterator[Finding]:
    """What the kernel offers to keep an agent from what is not its own."""
    if not sys.platform.startswith("linux"):
        yield Finding(
            Level.WARNING,
            "kernel",
            f"{platform.system()} can't tell an agent's processes from yours",
            "run it on Linux where agents are not trusted",
        )
        return
    abi = landlock_abi()
    text = f"Landlock, version {abi}" if abi else "no Landlock: state is closed by its mode alone"
    yield Finding(Level.INFO, "kernel", text)
    pidfd = hasattr(os, "pidfd_open") and _opens_pidfd()
    peer = _release() >= (6, 5)
    yield Finding(
        Level.INFO,
        "kernel",
        f"pidfd {'yes' if pidfd else 'no'}, peer pidfd {'yes' if peer else 'no (before 6.5)'}",
    )


def landlock_abi() -> int:
    """The version of Landlock; 0 where there is none."""
    libc = ctypes.CDLL(None, use_errno=True)
    answer = libc.syscall(_NR_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_VERSION_FLAG)
    return max(0, int(answer))


def _opens_pidfd() -> bool:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return False
    return True


def _release() -> tuple[int, ...]:
    parts = platform.release().split("-")[0].split(".")[:2]
    return tuple(int(part) for part in parts if part.isdigit())


def _version(path: str, environment: Mapping[str, str]) -> str:
    """What a program says to --version, in an environment in which it finds nothing of ours."""
    with tempfile.TemporaryDirectory(prefix="repobridge-") as home:
        try:
            done = subprocess.run(
                [path, "--version"],
                capture_output=True,
                check=False,
                stdin=subprocess.DEVNULL,
                timeout=_VERSION_SECONDS,
                env={"HOME": home, "PATH": environment.get("PATH", os.defpath)},
            )
        except (OSError, subprocess.SubprocessError):
            return ""
    return done.stdout.decode(errors="replace").strip()


def _without_secrets(url: str) -> str:
    """A URL without a user's name and password."""
    scheme, mark, rest = url.partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"
