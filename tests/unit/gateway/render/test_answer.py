from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repobridge.session import events as ev
from repobridge_gateway.render.answer import render_answer
from repobridge_gateway.render.fences import scan
from repobridge_gateway.render.limits import check
from repobridge_gateway.render.measure import units
from repobridge_gateway.render.pieces import FILE_BYTES, File, Piece
from repobridge_gateway.render.turn_view import MOST_TEXT
from tests.unit.gateway.render.pictures import assert_is_golden, picture
from tests.unit.gateway.render.turns import ADA, END, KEY, TURN, view_of

SENTENCE = "The bucket is refilled on every request, and never holds more than its size. "
DIFF = "```diff\n" + "".join(f"-old {n}\n+new {n}\n" for n in range(30)) + "```"


def answer(
    final: str,
    *before: tuple[float, ev.Body],
    outcome: ev.TurnOutcome = ev.TurnOutcome.COMPLETED,
    threshold: int = 1500,
    **ending: Any,
) -> tuple[Piece, ...]:
    ended = replace(ev.TurnEnded(outcome, None, final), **ending)
    return render_answer(view_of(*before), ended, threshold=threshold, reply_to="17", key=KEY)


def test_a_short_answer_is_a_reply() -> None:
    assert answer("All *good*.") == (Piece("All *good*.", reply_to="17"),)


def test_a_whole_turn_ends_in_its_last_words() -> None:
    assert isinstance(END[1], ev.TurnEnded)
    assert render_answer(view_of(*TURN, END), END[1], threshold=1500, reply_to="17") == (
        Piece("Two tests fail, because `refill` rounds down.", reply_to="17"),
    )


def test_an_answer_above_the_threshold_is_a_file_with_its_beginning_in_the_message() -> None:
    final = f"# Rate limits\n\n{SENTENCE}\n\n```py\nx = 1\n```\n\n" + f"{SENTENCE}\n\n" * 30
    [piece] = answer(final)
    assert piece.content == (
        f"# Rate limits\n\n{SENTENCE.strip()}\n"
        "-# The whole answer is in `answer.md` · 2,480 characters"
    )
    assert [(file.name, file.media_type) for file in piece.files] == [
        ("answer.md", "text/markdown")
    ]
    assert piece.files[0].data.decode() == final.strip("\n") + "\n"


def test_below_a_large_threshold_it_is_several_messages_and_one_reply() -> None:
    final = "\n\n".join([SENTENCE * 10] * 7)
    pieces = answer(final, threshold=10_000)
    assert len(pieces) == 4
    assert [piece.reply_to for piece in pieces] == ["17", "", "", ""]
    assert "\n\n".join(piece.content for piece in pieces).split() == final.split()
    assert len(answer(final * 2, threshold=100_000)) == 1


def test_a_long_block_of_code_is_a_file_with_the_right_name() -> None:
    final = (
        f"I changed this:\n\n{DIFF}\n\nThe log:\n\n```\n" + "line\n" * 100 + "```\n\n"
        "And `src/limits.py`:\n\n```python\n" + "x = 1\n" * 100 + "```\nThat is all."
    )
    [piece] = answer(final)
    assert piece.content == (
        "I changed this:\n\n-# `changes.diff` · 60 lines\n\nThe log:\n\n"
        "-# `output.log` · 100 lines\n\nAnd `src/limits.py`:\n\n-# `limits.py` · 100 lines\n"
        "That is all."
    )
    assert [(file.name, file.media_type) for file in piece.files] == [
        ("changes.diff", "text/x-diff"),
        ("output.log", "text/plain"),
        ("limits.py", "text/plain"),
    ]
    assert piece.files[0].data.decode() == DIFF[8:-3]


def test_long_words_before_the_answer_come_as_a_file() -> None:
    before = (0.0, ev.TextDelta("a", 0, SENTENCE * 10, final=True))
    tool = (1.0, ev.ToolStarted("u", "Read", "Read: a"))
    [piece] = answer("Done.", before, tool)
    assert piece.content == "Done."
    assert [(file.name, file.data.decode()) for file in piece.files] == [
        ("earlier.md", SENTENCE * 10 + "\n")
    ]
    short = (0.0, ev.TextDelta("a", 0, "Let me look.", final=True))
    assert answer("Done.", short, tool) == (Piece("Done.", reply_to="17"),)


def test_words_that_were_no_answer_are_not_lost() -> None:
    said = (0.0, ev.TextDelta("a", 0, "I've started it.", final=True))
    tool = (1.0, ev.ToolStarted("u", "Bash", "Bash: make", background=True))
    assert answer("", said, tool) == (Piece("I've started it.", reply_to="17"),)


@pytest.mark.parametrize(
    ("origin", "lead"),
    [
        (ev.TurnOrigin.CRON, "-# From a scheduled task\n"),
        (ev.TurnOrigin.BACKGROUND, "-# From a background task\n"),
        (ev.TurnOrigin.TERMINAL, "-# Asked in the live terminal by Ada\n"),
    ],
)
def test_what_nobody_in_the_channel_asked_replies_to_nobody(
    origin: ev.TurnOrigin, lead: str
) -> None:
    opened = (0.0, ev.TurnOpened(origin, actor=ADA))
    assert answer("News.", opened) == (Piece(f"{lead}News."),)
    assert answer("", opened)[0].content.startswith(lead)


def test_what_goes_on_is_told() -> None:
    [piece] = answer("Started.", background_tasks=2, session_crons=1)
    assert piece.content == (
        "Started.\n\n-# 2 background tasks still run; more comes when there is news."
        " 1 scheduled task is set."
    )


ENDS = [
    ("completed", ev.TurnOutcome.COMPLETED, None),
    ("interrupted", ev.TurnOutcome.INTERRUPTED, None),
    (
        "drained",
        ev.TurnOutcome.INTERRUPTED,
        ev.TurnError("Drained", "The session was put to sleep before the turn ended."),
    ),
    ("overloaded", ev.TurnOutcome.FAILED, ev.TurnError("overloaded", "529 <@1> overloaded")),
    ("failed", ev.TurnOutcome.FAILED, ev.TurnError("new_code", "Something *new*.")),
    ("failed-without-a-word", ev.TurnOutcome.FAILED, None),
    ("lost", ev.TurnOutcome.LOST, ev.TurnError("Crashed", "The agent's process ended.")),
    ("memory", ev.TurnOutcome.OUT_OF_MEMORY, ev.TurnError("OutOfMemory", "Out of memory.")),
    ("budget", ev.TurnOutcome.BUDGET, ev.TurnError("Budget", "Ada's $5 a day are spent.")),
]


def test_every_end_is_a_sentence_with_and_without_words_before() -> None:
    said = (0.0, ev.TextDelta("a", 0, "So far I know that", final=True))
    told = []
    for name, outcome, error in ENDS:
        for before in ([], [said]):
            pieces = answer("", *before, outcome=outcome, error=error)
            told.append(f"#### {name}\n{picture(pieces)}")
    assert_is_golden("outcomes", "\n".join(told))


def test_files_of_the_session_go_with_the_answer_and_keep_their_names_apart() -> None:
    view, ended = view_of(), ev.TurnEnded(ev.TurnOutcome.COMPLETED, None, "Here.")
    files = [File("../a b.png", "image/png", b"1"), File("a_b.png", "image/png", b"2")]
    files += [File(f"f{n}.txt", "text/plain", b"") for n in range(10)]
    large = ev.FileProduced("b", "film.mp4", size=25 << 20)
    first, second = render_answer(view, ended, threshold=1500, files=files, left_out=[large])
    assert first.content == (
        "Here.\n\n-# `film.mp4` has 25.0 MiB, more than Discord takes. It stays with the session."
    )
    assert [file.name for file in first.files[:3]] == ["a_b.png", "a_b-2.png", "f0.txt"]
    assert (second.content, [file.name for file in second.files]) == ("", ["f8.txt", "f9.txt"])
    only = render_answer(view, ev.TurnEnded(ended.outcome), threshold=1500, files=files[:1])
    assert only[0].content == "✓ Done."


def test_large_files_are_spread_over_messages() -> None:
    ended = ev.TurnEnded(ev.TurnOutcome.COMPLETED, None, "Here.")
    files = [File(f"f{n}.bin", "", bytes(FILE_BYTES)) for n in range(3)]
    pieces = render_answer(view_of(), ended, threshold=1500, files=files)
    assert [len(piece.files) for piece in pieces] == [2, 1]


def test_an_answer_that_is_kept_elsewhere_has_to_be_read() -> None:
    ended = ev.TurnEnded(ev.TurnOutcome.COMPLETED, final_blob_id="b1")
    with pytest.raises(ValueError, match="has to be read"):
        render_answer(view_of(), ended, threshold=1500)
    [piece] = render_answer(view_of(), ended, threshold=1500, final_text=SENTENCE * 5000)
    assert piece.files[0].data.decode() == (SENTENCE * 5000).strip("\n") + "\n"
    streamed = view_of((0.0, ev.TextDelta("a", 0, "It came.")))
    assert render_answer(streamed, ended, threshold=1500)[0].content == "It came."


def test_of_an_endless_turn_the_file_says_that_it_lacks_its_beginning() -> None:
    deltas = [(n, ev.TextDelta(f"b{n}", 0, "x" * (MOST_TEXT // 3))) for n in range(5)]
    [piece] = answer("Done.", *deltas)
    assert [file.name for file in piece.files] == ["earlier.md", "earlier-2.md"]
    assert piece.files[0].data.startswith(b"(The beginning is left out.)")


def test_what_would_be_nothing_is_something() -> None:
    assert answer(" \n\u200b") == (Piece("✓ Done. The agent had nothing to add.", reply_to="17"),)


blocks = st.sampled_from(
    [
        "```\n",
        "```diff\n-a\n",
        "word " * 60,
        "x\n" * 50,
        "| a |\n|---|\n",
        "> ",
        "# ",
        "@here ",
        "`",
    ]
)
finals = st.lists(st.one_of(blocks, st.text(max_size=30)), max_size=25).map("".join)


@given(finals, finals, st.sampled_from(ev.TurnOutcome), st.integers(1, 9000), st.booleans())
def test_whatever_is_answered_can_be_sent(
    final: str, said: str, outcome: ev.TurnOutcome, threshold: int, cron: bool
) -> None:
    origin = ev.TurnOrigin.CRON if cron else ev.TurnOrigin.MESSAGE
    opened = (0.0, ev.TurnOpened(origin))
    pieces = answer(
        final, opened, (1.0, ev.TextDelta("a", 0, said)), outcome=outcome, threshold=threshold
    )
    assert 1 <= len(pieces) <= 6
    for piece in pieces:
        check(piece)
        assert piece.content or piece.files
        assert units(piece.content) <= 2000
        assert not scan(piece.content)[-1].leaves_open
