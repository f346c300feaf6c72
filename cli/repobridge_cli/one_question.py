"""One question: the answer on stdout, what happens on stderr, the outcome as an exit code."""

from __future__ import annotations

import asyncio
import signal
import sys
import uuid
from enum import IntEnum

from repobridge.errors import Refusal
from repobridge.session import events as ev
from repobridge_gateway.asking import approval_lines
from repobridge_gateway.console import Console
from repobridge_gateway.conversation import Peer
from repobridge_gateway.dialogue import Decide, Dialogue, Leave, Say, Show
from repobridge_gateway.follow import Item, Live
from repobridge_gateway.lineedit import Entered, Key
from repobridge_gateway.lines import Line, Tone, printable
from repobridge_gateway.transcript import Transcript


class Outcome(IntEnum):
    """The exit codes of `chat --message`."""

    COMPLETED = 0
    FAILED = 1
    NOT_ACCEPTED = 2
    INTERRUPTED = 3
    NOT_RUN = 4


_OUTCOMES = {
    ev.TurnOutcome.COMPLETED: Outcome.COMPLETED,
    ev.TurnOutcome.INTERRUPTED: Outcome.INTERRUPTED,
    ev.TurnOutcome.BUDGET: Outcome.INTERRUPTED,
}
_NOT_RUN = frozenset({ev.MessageState.WITHDRAWN, ev.MessageState.REJECTED})


async def ask(
    peer: Peer, text: str, *, status: Console, answers: Console | None, me: ev.Actor
) -> int:
    """Sends one message and waits for its turn to end; returns the exit code."""
    question = _Question(peer, status, me)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, question.interrupt)
    asking = asyncio.create_task(question.run(text))
    answering = asyncio.create_task(question.answer(answers)) if answers else None
    try:
        return await asking
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        if answering:
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)


class _Question:
    def __init__(self, peer: Peer, status: Console, me: ev.Actor) -> None:
        self._peer = peer
        self._status = status
        self._message_id = str(uuid.uuid4())
        self._turn_id = ""
        self._spoken: list[str] = []
        self._transcript = Transcript(is_mine=lambda message: message == self._message_id)
        self._dialogue = Dialogue(me)
        self._live = asyncio.Event()
        self._interrupts = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, text: str) -> int:
        following = asyncio.create_task(self._follow())
        submitting = asyncio.create_task(self._submit(text))
        try:
            await asyncio.wait({following, submitting}, return_when=asyncio.FIRST_COMPLETED)
            if not following.done() and (reply := await submitting):
                print(reply)
                return Outcome.COMPLETED
            return await following
        finally:
            following.cancel()
            submitting.cancel()
            await asyncio.gather(following, submitting, return_exceptions=True)

    async def _follow(self) -> int:
        async for item in self._peer.follow():
            if isinstance(item, Live):
                self._live.set()
            outcome = await self._take(item)
            if outcome is not None:
                return outcome
        self._say("the connection ended; a message that was taken is answered all the same")
        return Outcome.FAILED

    async def _submit(self, text: str) -> str:
        # Followed first: nothing of the answer can be missed.
        await self._live.wait()
        return (await self._peer.submit(self._message_id, text)).reply

    async def _take(self, item: Item) -> Outcome | None:
        self._dialogue.feed(item)
        lines = self._transcript.feed(item)
        if not isinstance(item, ev.Event):
            self._status.print(lines)
            return None
        body = item.body
        if isinstance(body, ev.TurnOpened) and body.message_id == self._message_id:
            self._turn_id = item.turn_id
        mine = not item.turn_id or item.turn_id == self._turn_id
        if mine:
            self._status.print(_status_lines(body, lines))
        self._status.prompt(self._dialogue.prompt if self._dialogue.waiting else "")
        match body:
            case ev.TextDelta() if mine and not body.parent_tool_use_id:
                self._spoken.append(body.markdown)
            case ev.TurnEnded() if item.turn_id and item.turn_id == self._turn_id:
                await self._print_answer(body)
                return _OUTCOMES.get(body.outcome, Outcome.FAILED)
            case ev.MessageChanged() if body.message_id == self._message_id:
                if body.state in _NOT_RUN:
                    return Outcome.NOT_RUN
                if body.state is ev.MessageState.ENDED and not self._turn_id:
                    return Outcome.COMPLETED  # a command of the agent without a turn
        return None

    async def _print_answer(self, body: ev.TurnEnded) -> None:
        answer = body.final_markdown
        if body.final_blob_id:
            content = await self._peer.fetch(body.final_blob_id)
            answer = content.decode(errors="replace")
        answer = answer or "".join(self._spoken)
        if sys.stdout.isatty():
            answer = printable(answer)
        if answer:
            sys.stdout.write(answer if answer.endswith("\n") else f"{answer}\n")
            sys.stdout.flush()

    async def answer(self, console: Console) -> None:
        """Takes answers to requests from the terminal."""
        while True:
            typed = await console.read()
            if typed is Key.INTERRUPT:
                self.interrupt()
            if not isinstance(typed, Entered):
                continue
            match self._dialogue.line(typed.text):
                case Decide(decision=decision):
                    self._dialogue.close(decision.request_id)
                    try:
                        await self._peer.decide(decision)
                    except Refusal as refusal:
                        self._say(refusal.message)
                case Say(lines=lines):
                    console.print(lines)
                case Show(request=request):
                    console.print(approval_lines(request, longest=None))
                    self._dialogue.shown(request.request_id)
                case Leave():
                    self.interrupt()
                case None:
                    pass
                case _:
                    self._say("only answers are taken here; to talk: repobridge chat NAME")

    def interrupt(self) -> None:
        """The first asks the turn to end, the second leaves at once."""
        self._interrupts += 1
        if self._interrupts > 1:
            raise KeyboardInterrupt
        self._say("interrupting … (Ctrl-C again leaves)")
        self._tasks.add(asyncio.create_task(self._end_turn()))

    async def _end_turn(self) -> None:
        try:
            await self._peer.interrupt()
        except Refusal as refusal:
            self._say(refusal.message)

    def _say(self, text: str) -> None:
        self._status.print([Line(f"  {printable(text)}", Tone.FAINT)])


def _status_lines(body: ev.Body, lines: list[Line]) -> list[Line]:
    """What is not the answer itself."""
    if isinstance(body, ev.TextDelta):
        return []
    if isinstance(body, ev.TurnEnded):
        return [line for line in lines if line.tone is not Tone.TEXT]
    return lines
