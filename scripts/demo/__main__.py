"""The main job on a sample repository: `serve` in the background, a chat in this terminal.

The same session has a channel in an imitation of Discord, which a browser shows. Without
ANTHROPIC_API_KEY an imitation of the API answers, through the real Claude CLI. When stdin is no
terminal, one question is asked and its answer printed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from repobridge.errors import RepoBridgeError
from repobridge_cli.local_client import RemotePeer, connected
from repobridge_cli.person import this_person, wants_colour
from repobridge_gateway.conversation import Conversation
from scripts.demo.sample import HISTORY, NAME, make_sample
from scripts.demo.scripted import ScriptedConsole
from scripts.demo.stage import DemoError, Stage, claude_path, staged

QUESTION = "How do the tests stand, and what changed lately?"
_ANSWER_SECONDS = 300.0
_INTERRUPTED = 128 + signal.SIGINT
_HINTS = """
  Ask, for example:   {question}
  It asks before it runs a command: answer y, or n with a reason.
  Ctrl-C interrupts, Ctrl-D leaves, /help tells the rest.

  The same session as a channel of Discord, in a browser (an imitation of it, on this machine):
  {page}

  Its live screen, from another terminal, while this goes on:
  .venv/bin/repobridge attach {name} --socket {socket}
"""


class Teller:
    """Tells how far the preparations are."""

    def __init__(self, *, colour: bool) -> None:
        self._colour = colour

    def done(self, text: str, since: float | None = None) -> None:
        """Something stands."""
        took = "" if since is None else self._paint(f"  {time.monotonic() - since:.1f} s", "2")
        print(f"  {self._paint('✓', '32')} {text}{took}", flush=True)

    def note(self, text: str) -> None:
        """Something to know."""
        print(f"  {self._paint('!', '33')} {text}", flush=True)

    def _paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text


def main() -> None:
    """Runs the demo; exit code 0, or 1 with one sentence."""
    environment = dict(os.environ)
    try:
        code = asyncio.run(_demo(environment, interactive=os.isatty(0)))
    except (asyncio.CancelledError, KeyboardInterrupt):
        code = _INTERRUPTED
    except (DemoError, RepoBridgeError) as error:
        print(f"make demo: {error}", file=sys.stderr)
        code = 1
    sys.exit(code)


async def _demo(environment: Mapping[str, str], *, interactive: bool) -> int:
    no_colour, terminal = environment.get("NO_COLOR"), environment.get("TERM")
    colour = wants_colour(sys.stdout.isatty(), no_colour, terminal)
    print("RepoBridge: a chat with a Claude Code session beside a repository\n", flush=True)
    async with staged(environment) as stage:
        with _signals(stage):
            await _prepare(stage, Teller(colour=colour), environment)
            if interactive:
                told = {"question": QUESTION, "name": NAME, "socket": stage.socket}
                print(_HINTS.format(page=stage.page, **told), flush=True)
                code = await _chat(stage)
                print("Ending what the demo started …", flush=True)
            else:
                print(flush=True)
                code = await _ask(stage, colour=colour)
            return code


async def _prepare(stage: Stage, tell: Teller, environment: Mapping[str, str]) -> None:
    began = time.monotonic()
    try:
        await asyncio.to_thread(
            make_sample, stage.repository, now=datetime.now(UTC), environment=stage.environment
        )
    except FileNotFoundError as error:
        raise DemoError("git is not installed; install it with your package manager") from error
    except subprocess.CalledProcessError as error:
        raise DemoError(f"git failed: {error.stderr.decode(errors='replace').strip()}") from error
    tell.done(f"a sample repository, {NAME}: {len(HISTORY)} commits, with tests", began)
    claude = await asyncio.to_thread(claude_path, environment)
    if environment.get("ANTHROPIC_API_KEY"):
        tell.done("ANTHROPIC_API_KEY is set: the real model answers")
    else:
        await stage.imitate_the_model()
        tell.note("ANTHROPIC_API_KEY is not set: an imitation answers, through the real CLI")
    began = time.monotonic()
    await stage.imitate_discord()
    await stage.serve(claude)
    tell.done("repobridge serve is up, with a channel in an imitation of Discord", began)


async def _chat(stage: Stage) -> int:
    """`repobridge chat` in this terminal: beside `serve`, which refuses what it started itself."""
    arguments = ("-m", "repobridge_cli", "chat", NAME, "--socket", str(stage.socket))
    with _terminal_given_back():
        chat = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, env=stage.environment
        )
        try:
            return await chat.wait()
        finally:
            if chat.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    chat.terminate()
                await chat.wait()


async def _ask(stage: Stage, *, colour: bool) -> int:
    """One question, as somebody at a terminal would ask it."""
    me = this_person()
    console = ScriptedConsole(QUESTION, colour=colour)
    async with connected(str(stage.socket)) as client:
        peer = RemotePeer(client, NAME, "main", me)
        conversation = Conversation(peer, console, me=me, downloads=Path.cwd())
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await conversation.run()
        except TimeoutError as error:
            raise DemoError(f"no answer came within {_ANSWER_SECONDS:.0f} s") from error
    return int(conversation.failed)


@contextmanager
def _signals(stage: Stage) -> Iterator[None]:
    """The first signal ends the demo cleanly, the next one at once."""
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    first = True

    def receive() -> None:
        nonlocal first
        if first:
            first = False
            task.cancel()
        else:
            stage.hurry()

    # The handlers stay until the loop closes: what is being cleared must not be cut short.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, receive)
    try:
        yield
    finally:
        first = False


@contextmanager
def _terminal_given_back() -> Iterator[None]:
    """Puts the terminal back, also when a chat that was killed could not."""
    stdin = sys.stdin.fileno()
    before = termios.tcgetattr(stdin)
    try:
        yield
    finally:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(stdin, termios.TCSADRAIN, before)


if __name__ == "__main__":
    main()
