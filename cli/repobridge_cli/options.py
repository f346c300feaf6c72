"""Options that several commands share, and the values that they become."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

import click

SOCKET = click.option(
    "--socket",
    default="",
    metavar="PATH",
    help="Where serve listens. Default: $XDG_RUNTIME_DIR/repobridge/serve.sock, or under "
    "$XDG_STATE_HOME/repobridge where the first is unset.",
)
CONVERSATION = click.option("--conversation", default="main", show_default=True, metavar="ID")
MESSAGE = click.option(
    "--message",
    "-m",
    metavar="TEXT",
    help="Ask one question: the answer on stdout, what happens on stderr. `-` reads stdin.",
)
READ_ONLY = click.option("--read-only", is_flag=True, help="Watch; what you type is not sent.")
_CLUSTER = (
    click.option("--namespace", "-n", default="", metavar="NAME", help="The bridge's namespace."),
    click.option("--context", default="", metavar="NAME", help="The kubeconfig's context."),
    click.option("--kubeconfig", default="", metavar="FILE", help="As for kubectl."),
)
T = TypeVar("T", bound=Callable[..., Any])


def cluster(command: T) -> T:
    """The options that say which cluster and namespace."""
    for option in reversed(_CLUSTER):
        command = option(command)
    return command


def address(_: click.Context, __: click.Parameter, value: str) -> str:
    """Takes HOST:PORT, or nothing."""
    host, colon, port = value.rpartition(":")
    if value and not (host and colon and port.isascii() and port.isdigit() and int(port) < 1 << 16):
        raise click.BadParameter(f"{value!r} is not HOST:PORT, as 127.0.0.1:9464 is.")
    return value


def carry_out(
    module: str, options: Mapping[str, Any], *, function: str = "run", always: bool = False
) -> NoReturn:
    """Runs a command's function, which is imported now, and exits with its code.

    The cluster's options become one value: None where none is given, unless the command is
    `always` for a cluster.
    """
    given = dict(options)
    names = ("namespace", "context", "kubeconfig")
    if always or any(name in given for name in names):
        chosen = {name: given.pop(name, "") for name in names}
        given["cluster"] = _kubectl(chosen) if always or any(chosen.values()) else None
    sys.exit(getattr(importlib.import_module(f"repobridge_cli.{module}"), function)(**given))


def _kubectl(chosen: Mapping[str, str]) -> Any:
    return importlib.import_module("repobridge_cli.cluster.kubectl").Kubectl(**chosen)
