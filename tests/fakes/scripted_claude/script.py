"""What the program is to do wrong: a JSON file, named by SCRIPTED_CLAUDE and read at each start."""

from __future__ import annotations

import json
import os

from tests.fakes.scripted_claude.arguments import BadUse

VARIABLE = "SCRIPTED_CLAUDE"
_DEFAULTS: dict[str, object] = {
    "record": "",
    "start": "",  # "hang", or "exit"
    "start_message": "",
    "start_seconds": 0.0,
    "hooks_twice": False,
    "ignore_answers": False,
    "late_display": False,
    "lose_enters": 0,
    "deaf": False,  # takes prompts, and confirms none
    "ignore_sigterm": False,
    "forget_cut": False,  # stands at its prompt where it should go on with a cut turn
    "answer": "",
    "transcript_late_seconds": 0.0,
    "escape_late_seconds": 0.0,  # between ESC and what it does
    "hang_up_late_seconds": 0.0,  # between ESC, which closes the dialog, and the end of its hook
}


class Script:
    """The faults, and the file that tells a test what happened here."""

    def __init__(self, given: dict[str, object]) -> None:
        for name, value in given.items():
            if name not in _DEFAULTS:
                raise BadUse(f"the script has no {name!r}")
            default = _DEFAULTS[name]
            if type(value) is not type(default) and not (
                isinstance(default, float) and isinstance(value, int)
            ):
                raise BadUse(f"{name}: {value!r} is not like {default!r}")
        whole = {**_DEFAULTS, **given}
        self.record_path = str(whole["record"])
        self.start = str(whole["start"])
        self.start_message = str(whole["start_message"])
        self.start_seconds = float(str(whole["start_seconds"]))
        self.hooks_twice = bool(whole["hooks_twice"])
        self.ignore_answers = bool(whole["ignore_answers"])
        self.late_display = bool(whole["late_display"])
        self.lose_enters = int(str(whole["lose_enters"]))
        self.deaf = bool(whole["deaf"])
        self.ignore_sigterm = bool(whole["ignore_sigterm"])
        self.forget_cut = bool(whole["forget_cut"])
        self.answer = str(whole["answer"])
        self.transcript_late_seconds = float(str(whole["transcript_late_seconds"]))
        self.escape_late_seconds = float(str(whole["escape_late_seconds"]))
        self.hang_up_late_seconds = float(str(whole["hang_up_late_seconds"]))
        if self.start not in ("", "hang", "exit"):
            raise BadUse(f"start: {self.start!r} is neither 'hang' nor 'exit'")

    def record(self, kind: str, **facts: object) -> None:
        """Appends a line to the record; one write, so that a kill can't halve it."""
        if not self.record_path:
            return
        line = json.dumps({"kind": kind, "pid": os.getpid(), **facts}) + "\n"
        descriptor = os.open(self.record_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


def read_script(path: str) -> Script:
    """The script at a path; a well-behaved one where none is named."""
    if not path:
        return Script({})
    try:
        with open(path, encoding="utf-8") as file:
            given = json.load(file)
    except (OSError, ValueError) as error:
        raise BadUse(f"the script {path}: {error}") from error
    if not isinstance(given, dict):
        raise BadUse(f"the script {path} is no object")
    return Script(given)
