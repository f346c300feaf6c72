"""Who sits at this terminal."""

from __future__ import annotations

import os
import pwd

from repobridge.session.events import Actor


def this_person() -> Actor:
    """The user of this process: the same person at every terminal of the machine."""
    uid = os.getuid()
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Actor(f"uid:{uid}", f"uid {uid}", "terminal")
    full_name = entry.pw_gecos.split(",")[0].strip()
    return Actor(f"uid:{uid}", full_name or entry.pw_name, "terminal")


def wants_colour(stream_is_terminal: bool, no_colour: str | None, terminal: str | None) -> bool:
    """Whether to colour: https://no-color.org and a terminal that can."""
    return stream_is_terminal and not no_colour and terminal not in {None, "", "dumb"}
