"""The terminal provider: the serving terminal talks to one repo at a time.

As in llm-bridge, the first repo is selected at the start and `/select NAME` changes it; terminal
repos come first here, so that a file with channels as well does what its author meant.
"""

from __future__ import annotations

from pathlib import Path

from repobridge.session.events import Actor
from repobridge.telemetry import Logger
from repobridge_gateway.console import Console
from repobridge_gateway.conversation import Conversation, Selected
from repobridge_gateway.fleet.local import LocalFleet
from repobridge_gateway.lines import Line, Tone
from repobridge_gateway.peer import FleetPeer
from repobridge_gateway.router import Router

_log = Logger(__name__)


async def run_terminal(
    console: Console, fleet: LocalFleet, router: Router, *, me: Actor, downloads: Path
) -> None:
    """Talks to the selected repo until the person leaves."""
    names = sorted(fleet.bridges, key=lambda n: fleet.bridges[n].spec.provider != "terminal")
    selected = names[0]
    _log.info("terminal provider started", repo=selected)
    console.print([_greeting(selected, len(names))])
    while True:
        peer = FleetPeer(fleet.bridge(selected), router, me=me)
        conversation = Conversation(
            peer, console, me=me, downloads=downloads, leaving="ends serve, and every session"
        )
        try:
            await conversation.run()
        except Selected as wanted:
            if wanted.name in fleet.bridges:
                selected = wanted.name
                console.print([Line(f"Selected repo: {selected}", Tone.FAINT)])
                continue
            console.print(_how_to_select(wanted.name, names, selected))
            continue
        return


def _greeting(selected: str, count: int) -> Line:
    more = f" · /select NAME for another of {count} repos" if count > 1 else ""
    return Line(f"Talking to {selected} · /help · Ctrl-C twice ends serve{more}", Tone.FAINT)


def _how_to_select(wanted: str, names: list[str], selected: str) -> list[Line]:
    lines = [Line(f"Unknown repo: {wanted}", Tone.ERROR)] if wanted else []
    return [
        *lines,
        Line("Usage: /select <repo-name>"),
        Line(f"Available repos: {', '.join(names)}"),
        Line(f"Currently selected: {selected}"),
    ]
