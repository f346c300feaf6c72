"""Which repository URLs are taken: nothing that runs a program, and nothing that carries a key."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from repobridge_runner.workspaceerror import WorkspaceError

PROTOCOLS = ("https", "ssh")
"""The protocols that are spoken unless told otherwise."""

_SHORT_FORM = re.compile(r"(?P<user>[A-Za-z0-9._-]+)@(?P<host>[A-Za-z0-9.-]+):(?!/{2})(?P<path>.+)")


@dataclass(frozen=True)
class RepositoryAddress:
    """Where a repository is, as far as credentials are concerned."""

    url: str
    protocol: str
    host: str
    """With the port, where one is given."""


def parse(url: str, protocols: Sequence[str] = PROTOCOLS) -> RepositoryAddress:
    """Takes a URL apart; raises WorkspaceError(RepositoryRefused) with a sentence that says why."""
    if url.startswith("-") or not url.isprintable() or " " in url:
        raise _refused("begins with '-' or contains blanks")
    if "::" in url.split("/", 1)[0]:
        raise _refused("names a remote helper, which could run any program")
    if match := _SHORT_FORM.fullmatch(url):
        return _allowed(RepositoryAddress(url, "ssh", match["host"]), protocols)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _refused("is no URL") from None
    if not parts.scheme:
        raise _refused("has no protocol")
    _refuse_credentials(parts.scheme, parts.username, parts.password)
    if parts.scheme != "file" and (not host or host.startswith("-")):
        raise _refused("names no host")
    if parts.query or parts.fragment:
        raise _refused("contains '?' or '#'")
    where = f"[{host}]" if ":" in host else host
    address = RepositoryAddress(url, parts.scheme, f"{where}:{port}" if port else where)
    return _allowed(address, protocols)


def _refuse_credentials(scheme: str, username: str | None, password: str | None) -> None:
    if password is not None or (username is not None and scheme != "ssh"):
        raise _refused("contains a user or a password; put them into the credentials Secret")
    if username is not None and username.startswith("-"):
        raise _refused("has a user that begins with '-'")


def _allowed(address: RepositoryAddress, protocols: Sequence[str]) -> RepositoryAddress:
    if address.protocol not in protocols:
        raise _refused(f"uses {address.protocol}; allowed are {' and '.join(protocols)}")
    return address


def _refused(why: str) -> WorkspaceError:
    # The URL itself is not repeated: it may be the one that carries a key.
    return WorkspaceError("RepositoryRefused", f"The repository's URL {why}.")
