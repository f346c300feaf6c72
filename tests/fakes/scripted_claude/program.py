"""The process: its start, its input box, and the turn that runs beside it."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import threading
import time
import tty

from tests.fakes.scripted_claude import keys
from tests.fakes.scripted_claude.arguments import VERSION, Arguments, BadUse
from tests.fakes.scripted_claude.hooks import Hooks, HungUp
from tests.fakes.scripted_claude.screen import Screen
from tests.fakes.scripted_claude.script import VARIABLE, Script, read_script
from tests.fakes.scripted_claude.transcript import Transcript
from tests.fakes.scripted_claude.turn import Turn

_LONE_ESCAPE_SECONDS = 0.03
_TERMINATED = 143


def main(words: list[str]) -> int:
    """Runs the program; exit code 2 with a sentence for bad use."""
    try:
        arguments = Arguments(words)
        if "--version" in arguments.given:
            print(VERSION)  # noqa: T201
            return 0
        if not os.isatty(0) or not os.isatty(1):
            raise BadUse("standard input and output have to be a terminal")
        if "CLAUDE_CONFIG_DIR" not in os.environ:
            raise BadUse("CLAUDE_CONFIG_DIR is not set")
        script = read_script(os.environ.get(VARIABLE, ""))
        return Program(arguments, script).run()
    except BadUse as error:
        print(f"scripted-claude: {error}", file=sys.stderr)  # noqa: T201
        return 2


class Program:
    """One process of the agent."""

    def __init__(self, arguments: Arguments, script: Script) -> None:
        self._arguments = arguments
        self._script = script
        directory, working = os.environ["CLAUDE_CONFIG_DIR"], os.getcwd()
        self._transcript = Transcript(directory, working, arguments.session_id)
        self._transcript.late_seconds = script.transcript_late_seconds
        self._history = Transcript(directory, working, arguments.resumed_id)
        self._hooks = Hooks(
            arguments.hook_urls,
            dict(os.environ),
            {
                "session_id": arguments.session_id,
                "transcript_path": self._transcript.path,
                "cwd": working,
                "permission_mode": arguments.given.get("--permission-mode", "default"),
            },
        )
        self._hooks.twice = script.hooks_twice
        self._screen = Screen()
        self._keys = keys.KeyReader()
        self._box = ""
        self._lost_enters = 0
        self._turn: Turn | None = None
        self._queue: list[str] = []
        self._lock = threading.RLock()
        self._signals, self._signalled = os.pipe()

    def run(self) -> int:
        """Starts, and reads the terminal until the end."""
        self._announce()
        self._take_signals()
        if self._script.start_seconds:
            time.sleep(self._script.start_seconds)
        if self._script.start_message:
            self._screen.line(self._script.start_message)
        if self._script.start == "exit":
            return 3
        if self._script.start == "hang":
            while True:
                signal.pause()
        if self._arguments.resumed_id and not self._history.exists:
            self._screen.line(f"No conversation found with session ID: {self._history.path}")
            return 1
        if not self._arguments.resumed_id and self._transcript.exists:
            self._screen.line(f"Session ID {self._arguments.session_id} is already in use.")
            return 1
        tty.setraw(0, termios.TCSANOW)
        self._screen.write(b"\x1b[?2004h")
        self._go_on_with_cut_turn()
        self._screen.prompt(self._box)
        return self._read_until_the_end()

    def _announce(self) -> None:
        url, header = self._arguments.hook_urls["Stop"]
        for name, value in os.environ.items():
            header = header.replace(f"${name}", value)
        self._script.record(
            "start",
            session_id=self._arguments.session_id,
            resumed=bool(self._arguments.resumed_id),
            hook_url=url,
            authorization=header,
        )

    def _take_signals(self) -> None:
        def note(number: int, _: object) -> None:
            os.write(self._signalled, bytes([number]))

        signal.signal(signal.SIGWINCH, note)
        is_deaf = self._script.ignore_sigterm
        for number in (signal.SIGTERM, signal.SIGHUP):
            if self._script.start == "hang":
                signal.signal(number, signal.SIG_IGN if is_deaf else signal.SIG_DFL)
            else:
                signal.signal(number, signal.SIG_IGN if is_deaf else note)

    def _go_on_with_cut_turn(self) -> None:
        cut = self._history.cut_prompt() if self._arguments.resumed_id else ""
        if (
            cut
            and not self._script.forget_cut
            and os.environ.get("CLAUDE_CODE_RESUME_INTERRUPTED_TURN")
        ):
            self._begin(cut, goes_on=True)

    def _read_until_the_end(self) -> int:
        while True:
            patience = _LONE_ESCAPE_SECONDS if self._keys.is_waiting else None
            readable, _, _ = select.select([0, self._signals], [], [], patience)
            if self._signals in readable:
                if self._signalled_end():
                    return _TERMINATED
            elif 0 in readable:
                try:
                    data = os.read(0, 1 << 16)
                except OSError:  # the terminal is gone
                    return 1
                if not data or not self._take(self._keys.feed(data)):
                    return 0
            else:
                self._take(self._keys.give_up())

    def _signalled_end(self) -> bool:
        if os.read(self._signals, 1)[0] == signal.SIGWINCH:
            self._screen.prompt(self._box)
            return False
        self._end("other")
        return True

    def _end(self, reason: str) -> None:
        try:
            self._hooks.post("SessionEnd", reason=reason)
        except HungUp:
            pass
        self._transcript.flush()
        self._script.record("end", reason=reason)

    # --------------------------------------------------------------- input

    def _take(self, pressed: list[keys.Key]) -> bool:
        for kind, text in pressed:
            with self._lock:
                if kind == "text":
                    self._box += text
                elif kind == keys.ENTER:
                    if not self._enter():
                        return False
                elif kind == keys.ESCAPE:
                    self._escape()
                else:
                    self._clear()
                self._screen.prompt(self._box)
        return True

    def _enter(self) -> bool:
        if self._turn is not None and self._turn.dialog_is_open:
            self._box = ""  # as the real one loses it
            self._turn.allow_here()
            return True
        if self._lost_enters < self._script.lose_enters:
            self._lost_enters += 1
            return True
        text, self._box = self._box.rstrip(), ""
        if text == "/exit":
            self._end("prompt_input_exit")
            return False
        if self._script.deaf:
            self._box = text
            self._script.record("deaf", prompt=text)
        elif text and self._turn is not None:
            self._queue.append(text)
        elif text:
            self._begin(text)
        return True

    def _escape(self) -> None:
        if self._turn is not None:
            time.sleep(self._script.escape_late_seconds)
            self._turn.break_off()

    def _clear(self) -> None:
        if self._turn is not None and not self._box:
            self._turn.break_off()
        self._box = ""

    def _begin(self, prompt: str, *, goes_on: bool = False) -> None:
        self._turn = Turn(self._hooks, self._screen, self._script, self._transcript)
        arguments = (self._turn, prompt, goes_on)
        threading.Thread(target=self._work, args=arguments, daemon=True).start()

    def _work(self, turn: Turn, prompt: str, goes_on: bool) -> None:
        whole = turn.run(prompt, goes_on=goes_on)
        with self._lock:
            self._turn = None
            if not whole and turn.has_output:
                self._transcript.interrupted()
            elif not whole:
                self._box = prompt + self._box  # ESC before the first output puts it back
            if self._queue:
                self._begin(self._queue.pop(0))
            self._screen.prompt(self._box)
