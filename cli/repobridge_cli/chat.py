"""`repobridge chat`: a conversation with a session that `serve` or a cluster runs."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Coroutine
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from repobridge import telemetry
from repobridge.errors import Refusal
from repobridge_cli.cluster.kubectl import Kubectl
from repobridge_cli.local_client import NotServing
from repobridge_cli.one_question import ask
from repobridge_cli.person import wants_colour
from repobridge_cli.place import Place, opened_peer
from repobridge_gateway.console import PipeConsole, TerminalConsole
from repobridge_gateway.conversation import Conversation, Selected
from repobridge_gateway.fleet.observed import ClusterError
from repobridge_gateway.lines import Line, Tone

UNREACHED = 2


def run(
    *,
    name: str,
    message: str | None,
    conversation: str,
    socket: str = "",
    cluster: Kubectl | None = None,
) -> int:
    """Talks; returns the exit code."""
    place = Place(name, conversation, socket, cluster)
    telemetry.configure(level=logging.ERROR)
    try:
        if message is not None:
            text = sys.stdin.read() if message == "-" else message
            from_stdin = message == "-"
            return asyncio.run(_ending(_ask(place, text, from_stdin=from_stdin)))
        return asyncio.run(_ending(_chat(place)))
    except (NotServing, ClusterError, Refusal) as error:
        # A wake that failed has been told already, as everybody is told who follows.
        if not isinstance(error, Refusal):
            print(error, file=sys.stderr)
        elif error.reason != "WAKE_FAILED":
            print(error.message, file=sys.stderr)
        return UNREACHED
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


async def _ending(work: Coroutine[None, None, int]) -> int:
    """Ends in order at SIGTERM and SIGHUP: a terminal is given back as it was."""
    task = asyncio.ensure_future(work)
    received: list[int] = []

    def end(number: int) -> None:
        received.append(number)
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, end, number)
    try:
        return await task
    except asyncio.CancelledError:
        if received:
            return 128 + received[0]
        raise


async def _chat(place: Place) -> int:
    async with opened_peer(place) as (peer, me):
        name = place.name
        with ExitStack() as stack:
            console = _console(stack)
            conversation = Conversation(peer, console, me=me, downloads=Path.cwd())
            if console.interactive:
                console.print([Line(f"{name} · /help · Ctrl-D or /quit leaves", Tone.FAINT)])
            while True:
                try:
                    await conversation.run()
                except Selected:
                    text = "This chat has one repo; for another: repobridge chat NAME"
                    console.print([Line(text, Tone.FAINT)])
                    continue
                break
        return int(conversation.failed and not console.interactive)


async def _ask(place: Place, text: str, *, from_stdin: bool) -> int:
    async with opened_peer(place) as (peer, me):
        with ExitStack() as stack:
            asks = not from_stdin and sys.stdin.isatty() and sys.stderr.isatty()
            console = stack.enter_context(_terminal(sys.stderr).opened()) if asks else None
            status = console or PipeConsole(source=sys.stdin.buffer, out=sys.stderr)
            return await ask(peer, text, status=status, answers=console, me=me)


def _console(stack: ExitStack) -> TerminalConsole | PipeConsole:
    if sys.stdin.isatty() and sys.stdout.isatty():
        return stack.enter_context(_terminal(sys.stdout).opened())
    return PipeConsole(source=sys.stdin.buffer, out=sys.stdout)


def _terminal(out: TextIO) -> TerminalConsole:
    colour = wants_colour(True, os.environ.get("NO_COLOR"), os.environ.get("TERM"))
    return TerminalConsole(stdin=sys.stdin.fileno(), out=out, colour=colour)
