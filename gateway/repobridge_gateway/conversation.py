"""Holds a conversation with one session at a console: the loop that `serve` and `chat` share."""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from repobridge.errors import Refusal, RepoBridgeError
from repobridge.session import events as ev
from repobridge_gateway import dialogue as says
from repobridge_gateway.asking import approval_lines
from repobridge_gateway.console import Console, TerminalConsole
from repobridge_gateway.dialogue import Dialogue
from repobridge_gateway.follow import Item, Live
from repobridge_gateway.lineedit import Entered, Key
from repobridge_gateway.lines import Line, Tone, printable
from repobridge_gateway.router import Routed
from repobridge_gateway.session_values import Decision
from repobridge_gateway.together import until_first
from repobridge_gateway.transcript import Transcript

_REMEMBERED = 1000
_WAITING_ACTIONS = 100
_FINAL = frozenset({ev.MessageState.ENDED, ev.MessageState.WITHDRAWN, ev.MessageState.REJECTED})


class Peer(Protocol):
    """A session to talk with, wherever it runs."""

    def follow(self) -> AsyncIterator[Item]:
        """What happens from now on."""

    async def submit(self, message_id: str, text: str) -> Routed:
        """Sends a message; raises a Refusal."""

    async def decide(self, decision: Decision) -> None:
        """Answers a request; raises a Refusal."""

    async def interrupt(self) -> bool:
        """Ends the running turn; False when there was none."""

    async def fetch(self, blob_id: str) -> bytes:
        """The content of a blob; raises a Refusal."""


class Selected(RepoBridgeError):
    """Somebody wants to talk to another repo."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(name)


class Conversation:
    """One console, one session."""

    def __init__(
        self,
        peer: Peer,
        console: Console,
        *,
        me: ev.Actor,
        downloads: Path,
        leaving: str = "leaves; the session goes on",
    ) -> None:
        self._peer = peer
        self._console = console
        self._downloads = downloads
        self._leaving = leaving
        self._mine: deque[str] = deque(maxlen=_REMEMBERED)
        self._unfinished: set[str] = set()
        self._transcript = Transcript(is_mine=self._mine.__contains__)
        self._dialogue = Dialogue(me)
        self._files: dict[str, str] = {}
        self._live = asyncio.Event()
        self._may_read = asyncio.Event()
        self._quiet = asyncio.Event()
        self._actions: asyncio.Queue[says.Action] = asyncio.Queue(_WAITING_ACTIONS)
        self._interrupting: asyncio.Task[None] | None = None
        self.failed = False
        """True when a turn of ours did not complete."""

    async def run(self) -> None:
        """Talks until the person leaves, the pipe ends, or the other side does.

        Raises Selected when another repo is wanted.
        """
        self._console.prompt(self._dialogue.prompt)
        await until_first({"follow": self._follow(), "type": self._type(), "work": self._work()})

    async def _follow(self) -> None:
        async for item in self._peer.follow():
            if isinstance(item, Live):
                self._live.set()
            self._console.print(self._transcript.feed(item))
            self._dialogue.feed(item)
            self._console.prompt(self._dialogue.prompt)
            if isinstance(item, ev.Event):
                self._note(item)
            self._settle()

    def _note(self, event: ev.Event) -> None:
        match event.body:
            case ev.FileProduced(name=name, blob_id=blob_id):
                self._files[name] = blob_id
            case ev.MessageChanged(message_id=message, state=state) if state in _FINAL:
                self._unfinished.discard(message)
                self.failed |= message in self._mine and state is not ev.MessageState.ENDED
            case ev.TurnEnded(outcome=outcome):
                self.failed |= outcome is not ev.TurnOutcome.COMPLETED

    def _settle(self) -> None:
        """A pipe's next line is read when it can mean only one thing."""
        busy = bool(self._unfinished) or self._transcript.turn_is_open
        for event, holds in (
            (self._quiet, not busy),
            (self._may_read, not busy or self._dialogue.waiting is not None),
        ):
            event.set() if holds else event.clear()

    async def _type(self) -> None:
        await self._live.wait()
        interrupted = False
        while True:
            if not self._console.interactive:
                await self._actions.join()
                self._settle()
                await self._may_read.wait()
            match await self._console.read():
                case Entered(text=text):
                    interrupted = False
                    action = self._dialogue.line(text)
                    if isinstance(action, says.Leave):
                        return
                    if isinstance(action, says.Select):
                        raise Selected(action.name)
                    if isinstance(action, says.Decide):
                        # At once: the next line must not answer the same request again.
                        self._dialogue.close(action.decision.request_id)
                        self._console.prompt(self._dialogue.prompt)
                    # Carried out elsewhere: a wake takes seconds, and Ctrl-C must be heard.
                    await self._actions.put(action)
                case Key.INTERRUPT:
                    if interrupted:
                        return
                    interrupted = self._interrupt()
                case Key.END:
                    if not self._console.interactive:
                        await self._quiet.wait()
                    return

    async def _work(self) -> None:
        while True:
            action = await self._actions.get()
            try:
                await self._act(action)
            except Refusal as refusal:
                self.failed = True
                if refusal.reason != "WAKE_FAILED":  # that has been told to all
                    self._console.print([Line(f"  {printable(refusal.message)}", Tone.ERROR)])
            finally:
                self._actions.task_done()

    async def _act(self, action: says.Action) -> None:
        match action:
            case says.Send(text=text):
                await self._send(text)
            case says.Decide(decision=decision):
                await self._peer.decide(decision)
            case says.Say(lines=lines):
                self._console.print(lines)
            case says.Show(request=request):
                await self._show(request)
            case says.Save(name=name):
                await self._save(name)

    async def _send(self, text: str) -> None:
        message_id = str(uuid.uuid4())
        self._mine.append(message_id)
        self._unfinished.add(message_id)
        try:
            routed = await self._peer.submit(message_id, text)
        except Refusal:
            self._unfinished.discard(message_id)
            raise
        if routed.status is None:
            self._unfinished.discard(message_id)
            self._console.print(Line(printable(line)) for line in routed.reply.split("\n"))

    async def _show(self, request: ev.ApprovalRequested) -> None:
        if request.input_blob_id:
            content = (await self._peer.fetch(request.input_blob_id)).decode(errors="replace")
            self._console.print(Line(f"    {line}") for line in printable(content).split("\n"))
        else:
            self._console.print(approval_lines(request, longest=None))
        self._dialogue.shown(request.request_id)

    async def _save(self, name: str) -> None:
        if name not in self._files:
            known = ", ".join(self._files) or "none yet"
            self._console.print([Line(f"  Files of this session: {printable(known)}", Tone.FAINT)])
            return
        content = await self._peer.fetch(self._files[name])
        # The name is the agent's: only its last part, and never over something that is there.
        path = self._downloads / (Path(name).name or "file")
        try:
            await asyncio.to_thread(_write_new, path, content)
        except OSError as error:
            reason = f"{path} was not written: {error.strerror}"
            self._console.print([Line(f"  {reason}", Tone.ERROR)])
            return
        self._console.print([Line(f"  saved as {path}", Tone.GOOD)])

    def _interrupt(self) -> bool:
        """What Ctrl-C does; True when a second one is to leave."""
        console = self._console
        if isinstance(console, TerminalConsole) and console.take_text():
            return False
        if not self._transcript.turn_is_open:
            console.print([Line(f"  Ctrl-C again {self._leaving}", Tone.FAINT)])
            return True
        console.print([Line(f"  interrupting … (Ctrl-C again {self._leaving})", Tone.FAINT)])
        self._interrupting = asyncio.create_task(self._end_turn())
        return True

    async def _end_turn(self) -> None:
        try:
            await self._peer.interrupt()
        except Refusal as refusal:
            self._console.print([Line(f"  {printable(refusal.message)}", Tone.ERROR)])


def _write_new(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
