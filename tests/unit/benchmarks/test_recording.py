"""A recorded turn: read back as it was saved, and told again as another message's."""

from pathlib import Path

from benchmarks.recording import Recording, last_line, line, load
from repobridge.session.events import (
    Event,
    MessageChanged,
    MessageState,
    TextDelta,
    TurnOpened,
    TurnOrigin,
    WorkspaceChanged,
)

QUEUED = MessageChanged("m1", MessageState.QUEUED, 1)
TURN = Recording(
    (
        (0.0, Event(QUEUED, "main", "s", 1, "", "log", 7, 1.0)),
        (0.5, Event(TurnOpened(TurnOrigin.MESSAGE, "m1"), "main", "s", 1, "t1", "log", 8, 1.5)),
        (0.7, Event(TextDelta("b", 0, line(1) + line(2)), "main", "s", 1, "t1", "log", 9, 1.7)),
        (0.9, Event(WorkspaceChanged("main"), "", "", 0, "", "log", 10, 1.9)),
    )
)  # fmt: skip


def test_what_was_saved_is_read_back(tmp_path: Path) -> None:
    TURN.save(tmp_path / "recording")
    assert load(tmp_path / "recording") == TURN


def test_a_turn_is_told_again_as_another_messages() -> None:
    again = TURN.again(message_id="m2", conversation_id="c")
    events = [event for _, event in again.steps]
    assert [after for after, _ in again.steps] == [0.0, 0.5, 0.7, 0.9]
    assert [each.conversation_id for each in events] == ["c", "c", "c", ""]
    assert events[0].body == MessageChanged("m2", MessageState.QUEUED, 1)
    assert events[1].body == TurnOpened(TurnOrigin.MESSAGE, "m2")
    assert events[1].turn_id == events[2].turn_id not in {"", "t1"}
    assert again.text == TURN.text


def test_the_last_line_that_stands_in_a_text_is_found() -> None:
    assert last_line(f"…\n{line(41)}{line(42)}\n-# more") == 42
    assert last_line("XL0001 is none") == 0
