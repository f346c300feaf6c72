"""What to do with a piece that waits, and how far a log may be acknowledged."""

from __future__ import annotations

import pytest

from repobridge.session.events import Cursor
from repobridge_gateway import steady
from repobridge_gateway.outbox import Attempt, Due, Reached, SendState, is_news
from repobridge_gateway.steady import Steady


def due(tried: Steady | None = None) -> Due:
    state = SendState.TRYING if tried else SendState.PENDING
    return Due(send_id=1, bridge="b", channel_id="7", state=state, tried=tried)


def test_what_was_never_tried_is_sent() -> None:
    assert due().attempt(Steady("boot", 5)) is Attempt.SEND


@pytest.mark.parametrize(
    ("now", "attempt"),
    [
        (Steady("boot", 100), Attempt.SAME_NONCE),
        (Steady("boot", 219.9), Attempt.SAME_NONCE),
        (Steady("boot", 220), Attempt.SEARCH),
        (Steady("boot", 99), Attempt.SEARCH),
        (Steady("another", 101), Attempt.SEARCH),
    ],
)
def test_what_was_tried_is_sent_again_while_discord_is_known_to_remember(
    now: Steady, attempt: Attempt
) -> None:
    assert due(Steady("boot", 100)).attempt(now) is attempt


def test_where_moments_can_not_be_compared_the_channel_is_searched() -> None:
    assert due(Steady("", 100)).attempt(Steady("", 101)) is Attempt.SEARCH


def test_moments_of_this_machine_are_of_one_run_and_in_order() -> None:
    earlier, later = steady.now(), steady.now()
    since = later.since(earlier)
    assert since is not None
    assert since >= 0


def test_a_log_is_acknowledged_up_to_its_first_open_piece() -> None:
    cursor = Cursor("log", 30)
    assert Reached(cursor).ack() == cursor
    assert Reached(cursor, (Cursor("log", 20), Cursor("log", 10))).ack() == Cursor("log", 10)
    assert Reached(cursor, (Cursor("older log", 3),)).ack() == cursor


def test_news_is_what_lies_beyond_or_in_another_log() -> None:
    reached = Cursor("log", 5)
    found = [is_news(reached, Cursor("log", n)) for n in (4, 5, 6)]
    assert found == [False, False, True]
    assert is_news(reached, Cursor("new", 1))
    assert is_news(None, Cursor("log", 0))
