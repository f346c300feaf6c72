"""The log of one turn of the real CLI, with its pace: recorded once, to be replayed many times."""

from __future__ import annotations

import base64
import json
import re
import uuid
from dataclasses import dataclass, replace
from pathlib import Path

from repobridge.session import codec
from repobridge.session.events import (
    Event,
    MessageChanged,
    SessionChanged,
    SessionState,
    TextDelta,
    TurnOpened,
)
from repobridge.session.v1 import session_pb2 as pb
from tests.live_runner import LiveRunner

_LINE = re.compile(r"\bL(\d{4})\b")


def line(number: int) -> str:
    """A line of a text that says which it is, so that it is found wherever it is shown."""
    return f"L{number:04} of an answer that goes on for a while, word by word.\n"


def last_line(text: str) -> int:
    """The last of such lines that stands in a text; 0 where none does."""
    return max(map(int, _LINE.findall(text)), default=0)


@dataclass(frozen=True, slots=True)
class Recording:
    """The events of one turn, each with the seconds that it came after the first."""

    steps: tuple[tuple[float, Event], ...]

    @property
    def text(self) -> str:
        """Everything that the agent said."""
        bodies = (event.body for _, event in self.steps)
        return "".join(each.markdown for each in bodies if isinstance(each, TextDelta))

    def save(self, path: Path) -> None:
        """Writes it, for another process."""
        lines = []
        for after, event in self.steps:
            data = codec.event_to_pb(event).SerializeToString()
            lines.append(json.dumps([after, base64.b64encode(data).decode()]))
        path.write_text("\n".join(lines))

    def again(self, *, message_id: str, conversation_id: str) -> Recording:
        """The same as another message's turn."""
        turn_id = uuid.uuid4().hex
        steps = (
            (after, _moved(event, message_id, conversation_id, turn_id))
            for after, event in self.steps
        )
        return Recording(tuple(steps))


def load(path: Path) -> Recording:
    """Reads what was saved."""
    steps = []
    for line in path.read_text().splitlines():
        after, data = json.loads(line)
        event = codec.event_from_pb(pb.Event.FromString(base64.b64decode(data)))
        assert event is not None
        steps.append((float(after), event))
    return Recording(tuple(steps))


def _moved(event: Event, message_id: str, conversation_id: str, turn_id: str) -> Event:
    body = event.body
    if isinstance(body, MessageChanged | TurnOpened):
        body = replace(body, message_id=message_id)
    return replace(
        event,
        body=body,
        conversation_id=conversation_id if event.conversation_id else "",
        turn_id=turn_id if event.turn_id else "",
    )


async def record(runner: LiveRunner, text: str) -> Recording:
    """Submits a message, and keeps all that its runner tells until the session waits again."""
    before = len(runner.events)
    await runner.turn(text)
    await runner.next(
        SessionChanged, after=before, where=lambda each: each.state is SessionState.READY
    )
    events = runner.events[before:]
    return Recording(tuple((event.at - events[0].at, event) for event in events))
