"""The `repobridge` command; what a command needs is imported when it runs, so all start quickly."""

from __future__ import annotations

from typing import Any

import click

from repobridge import __version__
from repobridge_cli import options as shared
from repobridge_cli.options import carry_out


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
@click.option(
    "--metrics-address",
    default="",
    metavar="HOST:PORT",
    callback=shared.address,
    help="Where Prometheus reads the metrics of serve and all its runners. Default: nowhere.",
)
@shared.SOCKET
def serve(**options: Any) -> None:
    """Serve every repo of a configuration on this machine, without Kubernetes.

    On a terminal it talks to the first repo as well; others join with `repobridge chat NAME`.
    The first SIGINT or SIGTERM ends it cleanly, the second at once. Exit codes: 0 ended as asked,
    1 failed, 2 unusable configuration or socket.
    """
    carry_out("serve", options)


@cli.command()
@click.argument("name")
@shared.MESSAGE
@shared.CONVERSATION
@shared.SOCKET
@shared.cluster
def chat(**options: Any) -> None:
    """Talk to the session of repo NAME, together with everybody else who does.

    NAME is one of serve's, or with --namespace, --context or --kubeconfig a RepoBridge of a
    cluster, reached through kubectl.

    Ctrl-C interrupts the turn, a second one leaves; the session goes on. When stdin is no
    terminal, each of its lines is a message, or the answer to a request that waits.

    Exit codes with --message: 0 the turn completed, 1 it failed, 2 it was not accepted or nothing
    can be reached, 3 it was interrupted, 4 the message was withdrawn or rejected. A request for
    permission is shown on stderr and can be answered there when stdin is a terminal; otherwise it
    waits for another terminal, or is denied when it expires.
    """
    carry_out("chat", options)


@cli.command()
@click.argument("name")
@shared.READ_ONLY
@shared.CONVERSATION
@shared.SOCKET
@shared.cluster
def attach(**options: Any) -> None:
    r"""Attach to the live terminal of repo NAME; as for chat, of serve or of a cluster.

    Ctrl-\ or Ctrl-P Ctrl-Q detaches; the session goes on. Exit codes: 0 detached, 1 the terminal
    ended, 2 it can't be reached.
    """
    carry_out("attach", options)


@cli.command()
@click.option("--config", default="", metavar="FILE", help="As for serve.")
@shared.SOCKET
def doctor(**options: Any) -> None:
    """Check what RepoBridge needs on this machine, and say how to mend what is missing.

    Exit codes: 0 all is well, 1 something has to be mended.
    """
    carry_out("doctor", options)


def main() -> None:
    """The entry point."""
    cli(prog_name="repobridge")


if __name__ == "__main__":
    main()
