"""The `repobridge` command; what a command needs is imported when it runs, so all start quickly."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

import click

from repobridge import __version__

SOCKET_OPTION = click.option(
    "--socket",
    default="",
    metavar="PATH",
    help="Where serve listens. Default: $XDG_RUNTIME_DIR/repobridge/serve.sock, or under "
    "$XDG_STATE_HOME/repobridge where the first is unset.",
)


def _run(command: str, options: Mapping[str, Any]) -> NoReturn:
    sys.exit(importlib.import_module(f"repobridge_cli.{command}").run(**options))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="repobridge")
def cli() -> None:
    """A chat channel for each repository, answered by a Claude Code session beside its checkout."""


@cli.command()
@click.option(
    "--config",
    default="",
    metavar="FILE",
    help="llm-bridge's own format. Default: $LLM_BRIDGE_CONFIG, or llm-bridge.yaml here.",
)
@click.option("--log-format", type=click.Choice(["text", "json"]), help="Default: text.")
@SOCKET_OPTION
def serve(**options: Any) -> None:
    """Serve every repo of a configuration on this machine, without Kubernetes.

    On a terminal it talks to the first repo as well; others join with `repobridge chat NAME`.
    The first SIGINT or SIGTERM ends it cleanly, the second at once. Exit codes: 0 ended as asked,
    1 failed, 2 unusable configuration or socket.
    """
    _run("serve", options)


@cli.command()
@click.argument("name")
@click.option(
    "--message",
    "-m",
    metavar="TEXT",
    help="Ask one question: the answer on stdout, what happens on stderr. `-` reads stdin.",
)
@click.option("--conversation", default="main", show_default=True, metavar="ID")
@SOCKET_OPTION
def chat(**options: Any) -> None:
    """Talk to the session of repo NAME, together with everybody else who does.

    Ctrl-C interrupts the turn, a second one leaves; the session goes on. When stdin is no
    terminal, each of its lines is a message, or the answer to a request that waits.

    Exit codes with --message: 0 the turn completed, 1 it failed, 2 it was not accepted or serve
    can't be reached, 3 it was interrupted, 4 the message was withdrawn or rejected. A request for
    permission is shown on stderr and can be answered there when stdin is a terminal; otherwise it
    waits for another terminal, or is denied when it expires.
    """
    _run("chat", options)


@cli.command()
@click.argument("name")
@click.option("--read-only", is_flag=True, help="Watch; what you type is not sent.")
@click.option("--conversation", default="main", show_default=True, metavar="ID")
@SOCKET_OPTION
def attach(**options: Any) -> None:
    r"""Attach to the live terminal of repo NAME.

    Ctrl-\ or Ctrl-P Ctrl-Q detaches; the session goes on. Exit codes: 0 detached, 1 the terminal
    ended, 2 it can't be reached.
    """
    _run("attach", options)


@cli.command()
@click.option("--config", default="", metavar="FILE", help="As for serve.")
@SOCKET_OPTION
def doctor(**options: Any) -> None:
    """Check what RepoBridge needs on this machine, and say how to mend what is missing.

    Exit codes: 0 all is well, 1 something has to be mended.
    """
    _run("doctor", options)


def main() -> None:
    """The entry point."""
    cli(prog_name="repobridge")


if __name__ == "__main__":
    main()
