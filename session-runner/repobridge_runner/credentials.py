"""Gives git the mounted credentials without ever holding them: by a helper, or an ssh command.

A URL, an argument list, a configuration file or a log never see them; what they see is the path
of the mounted directory. It is mounted from a Secret of type basic-auth (username, password) or
ssh-auth (ssh-privatekey, known_hosts), and read anew at each use, as Secrets rotate.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from repobridge_runner import credential_helper
from repobridge_runner.repositoryurl import RepositoryAddress
from repobridge_runner.workspaceerror import WorkspaceError

# No configuration of the home's: the agent may write there, and it can name programs.
_SSH = (
    "ssh", "-F", "/dev/null", "-oBatchMode=yes", "-oConnectTimeout=30", "-oServerAliveInterval=15",
)  # fmt: skip
_SECRET_FILES = ("password", "ssh-privatekey")


@dataclass(frozen=True)
class Credentials:
    """What makes a git use the mounted credentials: configuration, and environment variables."""

    config: tuple[tuple[str, str], ...] = ()
    variables: tuple[tuple[str, str], ...] = ()


def credentials_for(address: RepositoryAddress, directory: str) -> Credentials:
    """The credentials for a repository; raises WorkspaceError(CredentialsMissing)."""
    if address.protocol == "ssh":
        return _ssh(Path(directory)) if directory else _with_ssh_command(_SSH)
    if not directory or address.protocol == "file":
        return Credentials()
    return _basic(address, Path(directory))


def secret_values(directory: str) -> list[str]:
    """The values that must never be shown, for the redactor."""
    if not directory:
        return []
    files = (Path(directory) / name for name in _SECRET_FILES)
    return [file.read_text(encoding="utf-8", errors="replace") for file in files if file.is_file()]


def _basic(address: RepositoryAddress, directory: Path) -> Credentials:
    _readable(directory, "password", "basic-auth")
    helper = (
        sys.executable, "-I", "-S", credential_helper.__file__,
        str(directory.absolute()), address.protocol, address.host,
    )  # fmt: skip
    scope = f"credential.{address.protocol}://{address.host}"
    return Credentials(
        config=(
            # An empty one first: no other helper is asked, and none is told what was used.
            ("credential.helper", ""),
            (f"{scope}.helper", "!" + shlex.join(helper)),
            (f"{scope}.useHttpPath", "true"),
        )
    )


def _ssh(directory: Path) -> Credentials:
    key = _readable(directory, "ssh-privatekey", "ssh-auth")
    known_hosts = directory / "known_hosts"
    if not known_hosts.is_file():
        raise _missing(
            f"{directory} holds ssh-privatekey, but no known_hosts to recognise the server by;"
            " add what `ssh-keyscan HOST` prints to the Secret, once you have checked it"
        )
    status = key.stat()
    if status.st_uid == os.getuid() and status.st_mode & 0o077:
        raise _missing(f"{key} can be read by others, so ssh would refuse it; set its mode to 0400")
    return _with_ssh_command(
        (
            *_SSH, "-i", str(key.absolute()), "-oIdentitiesOnly=yes",
            "-oIdentityAgent=none", "-oStrictHostKeyChecking=yes",
            f'-oUserKnownHostsFile="{known_hosts.absolute()}"',
        )
    )  # fmt: skip


def _with_ssh_command(words: Sequence[str]) -> Credentials:
    return Credentials(variables=(("GIT_SSH_COMMAND", shlex.join(words)),))


def _readable(directory: Path, name: str, kind: str) -> Path:
    file = directory / name
    if not file.is_file():
        raise _missing(f"{directory} has no file {name}; the Secret must be of type {kind}")
    try:
        empty = not file.read_bytes().strip()
    except OSError as error:
        raise _missing(f"{file} can't be read: {error.strerror}") from error
    if empty:
        raise _missing(f"{file} is empty")
    return file


def _missing(sentence: str) -> WorkspaceError:
    return WorkspaceError("CredentialsMissing", f"{sentence}.")
