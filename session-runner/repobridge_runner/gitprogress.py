"""Turns git's progress lines into few, short details for people."""

from __future__ import annotations

import re
from collections.abc import Callable

from repobridge.session.events import Phase

Progress = Callable[[Phase, str], None]
"""Told which step of coming up is under way, and how far it is."""

_PERCENT = re.compile(r"(?:remote: )?(?P<what>[A-Z][A-Za-z ]{2,40}?):\s+(?P<percent>\d{1,3})% ")
_COUNT = re.compile(r"(?:remote: )?(?P<what>[A-Z][A-Za-z ]{2,40}?): \d+, done\.")


class ProgressLines:
    """Passes a line on when it says something new: another step, or another whole percent."""

    def __init__(self, phase: Phase, progress: Progress) -> None:
        self._phase = phase
        self._progress = progress
        self._last = ""

    def __call__(self, line: str) -> None:
        """Takes a line of git's."""
        if match := _PERCENT.match(line):
            detail = f"{match['what']}: {int(match['percent'])} %"
        elif match := _COUNT.match(line):
            detail = match["what"]
        else:
            return
        if detail != self._last:
            self._last = detail
            self._progress(self._phase, detail)
