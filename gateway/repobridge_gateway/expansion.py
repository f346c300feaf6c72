"""`$VAR` and `${VAR}` in a configuration's texts.

The rules are those of Go's os.ExpandEnv, which llm-bridge applies, with two differences: an unset
variable is an error rather than an empty text, and `$$` is a literal dollar sign (there it
vanishes, so no working file can mean anything else by it). A lone `$` stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_REFERENCE = re.compile(
    r"\$(?:(?P<dollar>\$)|\{(?P<braced>[^{}]*)(?P<close>\}?)|(?P<name>[A-Za-z_][A-Za-z0-9_]*|[0-9*#@!?-]))"
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def expand(text: str, environment: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """The expanded text, and a sentence for each reference that could not be expanded."""
    problems: list[str] = []

    def replace(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        if match["braced"] is None:
            name = match["name"]
        elif not match["close"]:
            problems.append('"${" is not closed; write "$$" for a literal dollar sign')
            return ""
        else:
            name = match["braced"]
        if not _NAME.fullmatch(name):
            problems.append(
                f'"{match[0]}" does not name a variable; write "$$" for a literal dollar sign'
            )
        elif name not in environment:
            problems.append(f"the environment variable {name} is not set")
        return environment.get(name, "")

    return _REFERENCE.sub(replace, text), tuple(problems)
