"""Any schedule of people, faults and crashes: each message once, in order, and accounted for."""

from __future__ import annotations

import sqlite3
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repobridge.session.events import Cursor
from repobridge_gateway import inbox
from repobridge_gateway.inbox import InboxState
from tests.unit.gateway.store.chats import BRIDGE
from tests.unit.gateway.store.trial import CHANNELS, Trial
from tests.unit.gateway.store.world import CONVERSATIONS

RUN_WITHOUT_ASKING = 5
SENDS = ["stands", "own event", "answer lost", "never arrived", "known not to arrive", "forbidden"]
WEIGHTS = {
    "post": 6,
    "post and take": 4,
    "edit": 5,
    "delete": 3,
    "told again": 1,
    "catch up": 6,
    "catch up there": 5,
    "read a page": 4,
    "accept": 1,
    "mark": 1,
    "hand over": 7,
    "hand over unheard": 2,
    "hand over slowly": 2,
    "carry out": 3,
    "refuse": 1,
    "run": 6,
    "deliver": 6,
    "deliver twice": 1,
    "send stands": 4,
    "send answer lost": 3,
    **{f"send {answer}": 1 for answer in SENDS[3:]},
    "send own event": 1,
    "killed before": 2,
    "killed after": 3,
    "stopped": 1,
    "machine restarted": 1,
    "connection lost": 1,
    "connection new": 2,
    "a moment": 1,
    "over a minute": 3,
    "two minutes": 2,
    "a while": 2,
    "a day": 1,
    "step": 1,
}
STEPS = ["rest", *(name for name, weight in WEIGHTS.items() for _ in range(weight))]
SCHEDULES = st.lists(
    st.tuples(st.sampled_from(STEPS), st.integers(0, 5)), min_size=200, max_size=200
)
"""What happens, and a number that says where or when; a schedule shrinks towards rest."""


def nothing_is_executed_twice(trial: Trial) -> None:
    executed = Counter(message_id for message_id, _ in trial.runner.executed)
    assert max(executed.values(), default=1) == 1


def nothing_is_said_twice(trial: Trial) -> None:
    said = Counter(own.piece for own in trial.discord.own)
    assert max(said.values(), default=1) == 1


def what_is_acknowledged_stands(trial: Trial) -> None:
    cursor = trial.loop.run(trial.store.outbox.ack(BRIDGE)) or Cursor()
    standing = {own.piece for own in trial.discord.own} | trial.lost
    for entry in trial.runner.log[: cursor.sequence]:
        assert {(piece.turn, piece.index) for piece in entry.pieces} <= standing


def nothing_before_a_cursor_is_missed(trial: Trial) -> None:
    known, cursors = trial.loop.run(trial.store._database.read(received))
    for post in trial.discord.posts.values():
        if int(post.message_id) <= cursors.get(int(post.channel), 0):
            assert int(post.message_id) in known or post.is_deleted


async def everything_is_accounted_for(trial: Trial) -> None:
    assert await trial.store.gaps.gaps() == []
    executed = dict(trial.runner.executed)
    standing = {own.piece for own in trial.discord.own} | trial.lost
    for post in trial.discord.posts.values():
        known = await trial.store.inbox.find(post.message_id)
        state = known.state if known else None
        if post.message_id in executed:
            assert state is InboxState.ENDED
            assert executed[post.message_id] in post.texts
            version = post.texts.index(executed[post.message_id])
            assert version >= trial.surely_edited.get(post.message_id, 0)
            assert post.message_id not in trial.surely_deleted
            assert known is not None
            # A wish came true, or its author knows that it could not.
            assert version >= trial.wished.get(post.message_id, 0) or known.is_told
        elif post.is_deleted:
            assert state in {InboxState.WITHDRAWN, InboxState.REFUSED, None}
        else:
            assert state is InboxState.REFUSED
            assert post.message_id in trial.refused
        if state is InboxState.REFUSED:
            assert (f"refused {post.message_id}", 0) in standing
    for entry in trial.runner.log:
        assert {(piece.turn, piece.index) for piece in entry.pieces} <= standing


def order_was_kept(trial: Trial) -> None:
    for conversation in ("main", "thread"):
        ran = [
            int(message_id)
            for message_id, _ in trial.runner.executed
            if CONVERSATIONS[trial.discord.posts[message_id].channel] == conversation
            and message_id not in trial.expired
        ]
        assert ran == sorted(ran)
    answers = [piece for entry in trial.runner.log for piece in entry.pieces]
    for channel in CHANNELS:
        meant = [(p.turn, p.index) for p in answers if p.channel_id == channel]
        stood = [own.piece for own in trial.discord.own if own.channel == channel]
        in_order = [each for each in meant if each in stood]
        assert [each for each in stood if each in meant] == in_order


def check(trial: Trial) -> None:
    """What holds at every moment."""
    nothing_is_executed_twice(trial)
    nothing_is_said_twice(trial)
    what_is_acknowledged_stands(trial)
    nothing_before_a_cursor_is_missed(trial)


def check_at_rest(trial: Trial) -> None:
    """What holds once everything has come to its end."""
    check(trial)
    trial.loop.run(everything_is_accounted_for(trial))
    order_was_kept(trial)


def received(connection: sqlite3.Connection) -> tuple[set[int], dict[int, int]]:
    """Every message that the store knows, and its channels' cursors."""
    known = {row[0] for row in connection.execute("SELECT message_id FROM messages")}
    return known, dict(connection.execute("SELECT channel, position FROM cursors"))


def run(schedule: list[tuple[str, int]]) -> None:
    """Lives through a schedule, on a disk where a commit costs little, if there is one."""
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as directory:
        trial = Trial(Path(directory))
        try:
            for what, number in schedule:
                trial.take(what, number)
                check(trial)
            trial.come_to_rest()
            check_at_rest(trial)
        finally:
            trial.close()


@pytest.mark.parametrize(
    "schedules",
    [
        # A schedule that fails takes minutes to become a short one.
        pytest.param(25, marks=pytest.mark.timeout(900)),
        pytest.param(1000, marks=[pytest.mark.long, pytest.mark.timeout(3600)]),
    ],
)
def test_any_schedule_accounts_for_every_message_once_and_in_order(
    schedules: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "CATCH_UP_MESSAGES", RUN_WITHOUT_ASKING)
    patient = settings(
        max_examples=schedules, deadline=None, suppress_health_check=list(HealthCheck)
    )
    patient(given(SCHEDULES)(run))()
