"""A person who isn't there: asks one question, and allows what the agent asks for."""

from __future__ import annotations

from collections.abc import Iterable

from repobridge_gateway.console import painted
from repobridge_gateway.lineedit import Entered, Key
from repobridge_gateway.lines import Line, Tone

_ANSWERS = {"allow? › ": "y", "answer › ": "/skip"}


class ScriptedConsole:
    """A console whose lines are typed by a script; what is said is printed."""

    interactive = False

    def __init__(self, question: str, *, colour: bool) -> None:
        self._questions = [question]
        self._prompt = ""
        self._colour = colour

    def print(self, lines: Iterable[Line]) -> None:
        """Prints lines."""
        for line in lines:
            print(painted(line, colour=self._colour), flush=True)

    def prompt(self, text: str) -> None:
        """Learns whether a message or an answer is expected."""
        self._prompt = text

    async def read(self) -> Entered | Key:
        """The question; then an answer to each request; then the end."""
        text = _ANSWERS.get(self._prompt) or (self._questions.pop() if self._questions else "")
        if not text:
            return Key.END
        self.print([Line(f"{self._prompt}{text}", Tone.PERSON)])
        return Entered(text)
