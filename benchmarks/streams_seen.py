"""What people saw of streams: from what Discord was asked, and from when what stood in the logs."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.commanded import Json
from benchmarks.recording import last_line

_CHANNEL = re.compile(r"/channels/(\d+)/messages")
_CREATE = "POST /channels/{channel_id}/messages"
_EDIT = "PATCH /channels/{channel_id}/messages/{message_id}"
_MARK = "PUT /channels/{channel_id}/messages/{message_id}/reactions/{emoji}/@me"
_DONE, _TOO_MANY = {200, 204}, 429


@dataclass(frozen=True, slots=True)
class Stream:
    """One channel's."""

    seconds: float
    """From the first sight of the turn to its end."""
    edits: int
    """Of the live message in that time."""
    written: int
    """Characters in the log at the end of the turn."""
    shown: int
    """Of these, those that had been shown by then."""
    delays: tuple[float, ...]
    """From the log to the channel, for each piece of text."""
    ideal_delays: tuple[float, ...]
    """The same, had there been an edit in each period that Discord allows, at no cost."""
    answered: float
    """Seconds from the end of the turn to its answer."""
    marked: float
    """Seconds from the message to the mark that it was seen."""


def stream_of(
    channel: str, log: Json, requests: Sequence[Json], *, began: float, period: float
) -> Stream:
    """What was seen in a channel; `period` is the time from one edit to the next.

    `began` is when its person wrote.
    """
    asked = [
        each
        for each in requests
        if each["status"] in _DONE
        and (found := _CHANNEL.search(each["path"]))
        and found[1] == channel
    ]
    ended: float = log["ended"]
    first, answer = _created(asked)
    edits = [each for each in asked if each["route"] == _EDIT and each["at"] <= ended]
    sights = [(each["at"], last_line(each["content"])) for each in (first, *edits)]
    texts = [(at, line, characters) for at, line, characters in log["texts"]]
    seen = max(line for _, line in sights)
    delays, ideal = [], []
    for at, line, _ in texts:
        shown = [moment for moment, last in sights if last >= line]
        delays.append(max(0.0, min([*shown, answer["at"]]) - at))
        behind = (at - first["at"]) / period
        ideal.append(max(0.0, math.ceil(behind) - behind) * period)
    return Stream(
        seconds=ended - first["at"],
        edits=len(edits),
        written=texts[-1][2],
        shown=max((characters for _, line, characters in texts if line <= seen), default=0),
        delays=tuple(delays),
        ideal_delays=tuple(ideal),
        answered=answer["at"] - ended,
        marked=next(each["at"] for each in asked if each["route"] == _MARK) - began,
    )


def refused(requests: Sequence[Json]) -> int:
    """How many calls were too many."""
    return sum(each["status"] == _TOO_MANY for each in requests)


def _created(asked: Sequence[Json]) -> tuple[Json, Json]:
    """The live message, and the answer."""
    created = [each for each in asked if each["route"] == _CREATE]
    assert len(created) == 2, created
    return created[0], created[1]
