"""`kubectl bridge`: the commands for bridges of a cluster, as a plugin of kubectl."""

from __future__ import annotations

from typing import Any

import click

from repobridge import __version__
from repobridge_cli import options as shared
from repobridge_cli.options import carry_out

_CLUSTER = "cluster.commands"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="kubectl bridge")
def cli() -> None:
    """Talk with RepoBridges, and wake and look at them; kubectl's own rights decide.

    Who talks needs `get`, `list` and `watch` of repobridges, `get` and `patch` of
    repobridges/scale, and `create` of pods/exec in the bridge's namespace; for `logs`, `get` of
    pods and pods/log.
    """


@cli.command()
@click.argument("name")
@shared.MESSAGE
@shared.CONVERSATION
@shared.cluster
def chat(**options: Any) -> None:
    """Talk to the session of bridge NAME, which is woken for the first message.

    As `repobridge chat`, with the same exit codes.
    """
    carry_out("chat", options, always=True)


@cli.command()
@click.argument("name")
@shared.READ_ONLY
@shared.CONVERSATION
@shared.cluster
def attach(**options: Any) -> None:
    r"""Attach to the live terminal of bridge NAME; Ctrl-\ or Ctrl-P Ctrl-Q detaches."""
    carry_out("attach", options, always=True)


@cli.command()
@click.argument("name")
@shared.cluster
def wake(**options: Any) -> None:
    """Wake bridge NAME, and say how that goes until its runner answers."""
    carry_out(_CLUSTER, options, function="wake", always=True)


@cli.command()
@click.argument("name")
@click.option("--wait", is_flag=True, help="Until it sleeps.")
@shared.cluster
def sleep(**options: Any) -> None:
    """Have bridge NAME sleep as soon as its turn has ended; a message wakes it again."""
    carry_out(_CLUSTER, options, function="sleep", always=True)


@cli.command()
@click.argument("name")
@shared.cluster
def sessions(**options: Any) -> None:
    """List the sessions of bridge NAME, if it is awake."""
    carry_out(_CLUSTER, options, function="sessions", always=True)


@cli.command()
@click.argument("name")
@click.option("--follow", "-f", is_flag=True, help="Go on as more is written.")
@shared.cluster
def logs(**options: Any) -> None:
    """Print the log of the runner of bridge NAME, if it is awake."""
    carry_out(_CLUSTER, options, function="logs", always=True)


def main() -> None:
    """The entry point."""
    cli(prog_name="kubectl bridge")
