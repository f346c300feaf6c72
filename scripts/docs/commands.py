"""The commands, as `--help` tells them."""

from __future__ import annotations

import click

from repobridge_cli.main import cli


def text() -> str:
    """The help of every command."""
    parent = click.Context(cli, info_name="repobridge", max_content_width=90, terminal_width=90)
    parts = []
    for name, command in cli.commands.items():
        context = click.Context(command, info_name=name, parent=parent)
        context.max_content_width = context.terminal_width = 90
        parts.append(f"### `repobridge {name}`\n\n```text\n{command.get_help(context)}\n```")
    return "\n\n".join(parts)
