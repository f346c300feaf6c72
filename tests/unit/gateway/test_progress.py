from __future__ import annotations

from pathlib import Path

from repobridge.errors import Refusal, Status
from repobridge.session.events import (
    Body,
    Cursor,
    Event,
    MessageChanged,
    MessageState,
    TurnEnded,
    TurnOpened,
    TurnOrigin,
    TurnOutcome,
)
from repobridge_gateway.fleet import progress as progresses
from repobridge_gateway.fleet.progress import Progress


def after(*bodies: Body) -> Progress:
    progress = Progress()
    for number, body in enumerate(bodies, 1):
        progress = progress.after(Event(body, turn_id="t1", log_id="log", sequence=number))
    return progress


def test_work_is_open_from_the_queue_to_the_end_of_its_turn() -> None:
    queued = MessageChanged("m1", MessageState.QUEUED, 1)
    opened = TurnOpened(TurnOrigin.MESSAGE, "m1")
    ended = (TurnEnded(TurnOutcome.COMPLETED), MessageChanged("m1", MessageState.ENDED))
    assert [after(queued).has_work, after(queued, opened).has_work] == [True, True]
    assert after(queued, opened, ended[0]).has_work is True
    assert after(queued, opened, *ended) == Progress(Cursor("log", 4))
    assert after(queued, MessageChanged("m1", MessageState.WITHDRAWN)).has_work is False


def test_it_survives_its_file(tmp_path: Path) -> None:
    progress = after(MessageChanged("m1", MessageState.QUEUED, 1), TurnOpened(TurnOrigin.CRON))
    progresses.save(progress, tmp_path / "p")
    assert progresses.load(tmp_path / "p") == progress


def test_a_broken_or_missing_file_is_a_fresh_start(tmp_path: Path) -> None:
    (tmp_path / "broken").write_text('{"log_id": "x"')
    assert progresses.load(tmp_path / "broken") == Progress()
    assert progresses.load(tmp_path / "missing") == Progress()


def test_a_refused_cursor_goes_on_where_the_log_says() -> None:
    progress = after(MessageChanged("m1", MessageState.QUEUED, 1))

    def corrected(reason: str, **params: str) -> Progress | None:
        refusal = Refusal(Status.OUT_OF_RANGE, reason, "", params)
        return progress.corrected(refusal)

    assert corrected("FOREIGN_LOG", log_id="new") == Progress(Cursor("new", 0))
    assert corrected("SEQUENCE_TRIMMED", oldest="812") == Progress(
        Cursor("log", 811), frozenset({"m1"})
    )
    assert corrected("SEQUENCE_IN_FUTURE", last="0") == Progress(
        Cursor("log", 0), frozenset({"m1"})
    )
    assert corrected("UNREACHABLE") is None
