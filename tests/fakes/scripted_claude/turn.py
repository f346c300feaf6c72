"""One turn: the hooks and the output of its prompt's steps, in a thread, until it is broken off.

A step is a line of the prompt that begins with `%`: see `_STEPS`. A prompt without any is echoed.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from tests.fakes.scripted_claude.hooks import Hooks, HungUp
from tests.fakes.scripted_claude.screen import Screen
from tests.fakes.scripted_claude.script import Script
from tests.fakes.scripted_claude.transcript import Transcript

_CHUNK = 1 << 16
_NOTICE_SECONDS = 0.012
"""The real one was never faster from a broken hook to its request (12 to 120 ms); a runner that is
killed closes its sockets up to 4 ms before the kernel kills its agents."""
_BROKEN = (
    b"\xff\xfe\xe2\x9d \xf0\x9f\x98 \xc3( \xed\xa0\x80 \x00\x07\x08"  # no UTF-8
    b"\x1b[999999999;999999999H\x1b[;;;;;m\x1b[?9999h\x1b]0;never ended\x1b[31"  # cut sequences
    b"\x1bP1;2|dcs\x1b(0lqqk\x1b(B\x9b31m\x1b[38;5;999m\x1b[\x1b[\x1b\x1b\x18\r"
)


class BrokenOff(Exception):
    """Somebody interrupted the turn."""


class Turn:
    """What happens from a prompt to its end."""

    def __init__(
        self, hooks: Hooks, screen: Screen, script: Script, transcript: Transcript
    ) -> None:
        self._hooks = hooks
        self._screen = screen
        self._script = script
        self._transcript = transcript
        self._stop, self._stopped = os.pipe()
        self._ending = threading.Lock()
        self._is_over = False
        self._breaking = threading.Event()
        self._allowed_here = threading.Event()
        self._prompt_id = str(uuid.uuid4())
        self._message_id = str(uuid.uuid4())
        self._index = 0
        self._text = ""
        self.has_output = False
        self.dialog_is_open = False

    def run(self, prompt: str, *, goes_on: bool) -> bool:
        """Works a prompt to its end; False when it was broken off."""
        try:
            self._work(prompt, goes_on=goes_on)
            return True
        except BrokenOff:
            return False
        finally:
            with self._ending:
                self._is_over = True
                os.close(self._stop)
                os.close(self._stopped)

    def break_off(self) -> None:
        """ESC: no hook tells of it."""
        self._breaking.set()
        with self._ending:
            if self._is_over:
                return
            os.write(self._stopped, b".")
        late = self._script.hang_up_late_seconds
        if late:
            threading.Timer(late, self._hooks.hang_up).start()
        else:
            self._hooks.hang_up()

    def allow_here(self) -> None:
        """Enter in the open dialog."""
        self._allowed_here.set()
        self._hooks.hang_up()

    def _work(self, prompt: str, *, goes_on: bool) -> None:
        if goes_on:
            self._prompt_id = ""  # as with the real one, no hook tells of it
            self._transcript.continued()
        else:
            self._post("UserPromptSubmit", prompt=prompt)
            self._transcript.user(prompt)
        self._script.record("prompt", prompt=prompt, goes_on=goes_on)
        steps = [line[1:] for line in prompt.splitlines() if line.startswith("%")]
        if goes_on:
            steps = ["say went on"]
        elif not steps:
            steps = [f"say {self._script.answer or 'echo: ' + prompt.splitlines()[-1]}"]
        for step in steps:
            name, _, rest = step.partition(" ")
            _STEPS.get(name, Turn._unknown)(self, rest)
            if name == "fail":
                return
        late, self._text = self._text, self._text.rstrip("\n")
        if not self._script.late_display:
            self._show("", final=True)
        self._transcript.assistant(late)
        self._post("Stop", last_assistant_message=self._text, background_tasks=[], session_crons=[])
        if self._script.late_display:
            self._show("", final=True)
        self._transcript.turn_over()

    # --------------------------------------------------------------- steps

    def _unknown(self, rest: str) -> None:
        self._say(f"no such step: {rest}")

    def _say(self, text: str) -> None:
        self._show(text + "\n")

    def _deltas(self, count: str) -> None:
        for number in range(int(count)):
            self._show(f"line {number}\n")

    def _recall(self, _: str) -> None:
        self._show(" | ".join(self._transcript.prompts()) + "\n")

    def _tool(self, command: str) -> None:
        tool = {"tool_name": "Bash", "tool_input": {"command": command}}
        tool_use_id = f"toolu_{uuid.uuid4().hex}"
        self.has_output = True
        self._post("PreToolUse", tool_use_id=tool_use_id, **tool)
        self._run_tool(command, tool_use_id, tool)

    def _ask(self, command: str) -> None:
        tool = {"tool_name": "Bash", "tool_input": {"command": command}}
        tool_use_id = f"toolu_{uuid.uuid4().hex}"
        self.has_output = True
        self._post("PreToolUse", tool_use_id=tool_use_id, **tool)
        if self._is_allowed(tool):
            self._run_tool(command, tool_use_id, tool)
        else:
            self._say("was denied")

    def _is_allowed(self, tool: dict[str, Any]) -> bool:
        self.dialog_is_open = True
        self._screen.line("Do you want to proceed? Enter: yes")
        try:
            answer = self._post("PermissionRequest", **tool, permission_suggestions=[])
        finally:
            self.dialog_is_open = False
        if self._allowed_here.is_set():
            self._allowed_here.clear()
            return True
        output = answer.get("hookSpecificOutput", {})
        return bool(output.get("decision", {}).get("behavior") == "allow")

    def _run_tool(self, command: str, tool_use_id: str, tool: dict[str, Any]) -> None:
        self._script.record("tool", command=command)
        # The next text is another message, and the end of the turn tells only what follows here.
        self._message_id, self._index, self._text = str(uuid.uuid4()), 0, ""
        with subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as child:
            output = self._output_of(child)
        response = {"stdout": output, "stderr": "", "interrupted": False}
        self._post(
            "PostToolUse", tool_use_id=tool_use_id, tool_response=response, duration_ms=1, **tool
        )

    def _output_of(self, child: subprocess.Popen[bytes]) -> str:
        assert child.stdout is not None
        output = b""
        while True:
            readable, _, _ = select.select([child.stdout.fileno(), self._stop], [], [])
            if self._stop in readable:
                child.kill()
                raise BrokenOff
            data = os.read(child.stdout.fileno(), _CHUNK)
            if not data:
                return output.decode("utf-8", "replace")
            output += data

    def _flood(self, size: str) -> None:
        line = (
            b"\x1b[32mthe quick brown fox \xe2\x9d\xaf jumps\x1b[0m over the lazy dog " * 2
            + b"\r\n"
        )
        self._write_much(line, int(size))

    def _flood_until(self, rest: str) -> None:
        """`SIZE GATE`: so much, and on until somebody writes into the FIFO."""
        size, path = rest.split(" ", 1)
        gate = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        try:
            self._flood(size)
            while not select.select([gate], [], [], 0)[0]:
                self._flood(str(_CHUNK))
        finally:
            os.close(gate)

    def _endless(self, size: str) -> None:
        self._write_much(b"x" * 1000, int(size))
        self._screen.write(b"\r\n")

    def _broken(self, size: str) -> None:
        self._write_much(_BROKEN, int(size))
        self._screen.write(b"\x1b\\\x1bc\r\n")

    def _write_much(self, piece: bytes, size: int) -> None:
        chunk = piece * (_CHUNK // len(piece))
        for start in range(0, size, len(chunk)):
            self._check()
            self._screen.write(chunk[: size - start])

    def _pause(self, seconds: str) -> None:
        readable, _, _ = select.select([self._stop], [], [], float(seconds))
        if readable:
            raise BrokenOff

    def _gate(self, path: str) -> None:
        """Stands still until somebody writes into the FIFO."""
        gate = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        try:
            readable, _, _ = select.select([gate, self._stop], [], [])
        finally:
            os.close(gate)
        if self._stop in readable:
            raise BrokenOff

    def _leave(self, seconds: str) -> None:
        """Leaves a child behind that takes no notice of SIGTERM or SIGHUP."""
        command = f"trap '' TERM HUP; sleep {float(seconds)}; :"
        child = subprocess.Popen(["/bin/sh", "-c", command], stdin=subprocess.DEVNULL)
        self._script.record("left", child=child.pid)

    def _orphan(self, count: str) -> None:
        """Leaves zombies for whoever adopts them."""
        for _ in range(int(count)):
            subprocess.run(["/bin/sh", "-c", "true & exec true"], check=True)

    def _exit(self, code: str) -> None:
        os._exit(int(code))

    def _die(self, _: str) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def _fail(self, error: str) -> None:
        self._post("StopFailure", error=error, error_details=f"scripted {error}")
        self._transcript.turn_over()

    # --------------------------------------------------------------- hooks

    def _show(self, text: str, *, final: bool = False) -> None:
        if final and not self._index:
            return
        self._text += text
        self.has_output = True
        self._screen.line(text.rstrip("\n"))
        self._post(
            "MessageDisplay",
            turn_id=self._prompt_id,
            message_id=self._message_id,
            index=self._index,
            final=final,
            delta=text,
        )
        self._index += 1

    def _post(self, event: str, **fields: Any) -> dict[str, Any]:
        self._check()
        try:
            known = {"prompt_id": self._prompt_id} if self._prompt_id else {}
            answer = self._hooks.post(event, **known, **fields)
        except HungUp:
            self._script.record("hung up", event=event)
            time.sleep(_NOTICE_SECONDS)
            answer = {}  # the CLI goes on when a hook can't be reached
        self._check()
        return {} if self._script.ignore_answers else answer

    def _check(self) -> None:
        if self._breaking.is_set():
            raise BrokenOff


_STEPS: dict[str, Callable[[Turn, str], None]] = {
    "say": Turn._say,
    "deltas": Turn._deltas,
    "recall": Turn._recall,
    "tool": Turn._tool,
    "ask": Turn._ask,
    "flood": Turn._flood,
    "flood-until": Turn._flood_until,
    "endless": Turn._endless,
    "broken": Turn._broken,
    "pause": Turn._pause,
    "gate": Turn._gate,
    "leave": Turn._leave,
    "orphan": Turn._orphan,
    "exit": Turn._exit,
    "die": Turn._die,
    "fail": Turn._fail,
}
