"""The steps of a person's message: what each does in each state."""

from __future__ import annotations

from dataclasses import replace

import pytest

from repobridge_gateway import inbox
from repobridge_gateway.chat import Attachment, snowflake_at
from repobridge_gateway.inbox import Effect, InboxState, Kept, Wish
from tests.unit.gateway.store.chats import NOW, kept, message

S = InboxState
LOG = Attachment(attachment_id="3", name="a.log", size=1, media_type="text/plain", url="u")


def changed(before: Kept, content: str = "new") -> tuple[Kept, Effect]:
    return inbox.edited(before, content=content, attachments=())


@pytest.mark.parametrize("state", [S.HELD, S.READY, S.EXPIRED])
def test_an_edit_of_what_still_waits_changes_it_here(state: InboxState) -> None:
    before = kept(state=state)
    after, effect = changed(before)
    text = replace(before.message, content="new")
    assert (after, effect) == (replace(before, message=text, version=2), Effect.DONE)


@pytest.mark.parametrize("state", [S.READY, S.SUBMITTED])
def test_an_edit_of_what_the_runner_may_have_is_a_wish(state: InboxState) -> None:
    after, effect = changed(kept(state=state, taken=True))
    assert (after.wish, after.version, after.state) == (Wish.AMEND, 2, state)
    assert effect is Effect.WISHED


def test_an_edit_after_the_end_is_told_once() -> None:
    over, first = changed(kept(state=S.ENDED))
    again, second = changed(over, "newer")
    assert (first, second, again) == (Effect.TOO_LATE, Effect.TOLD, over)


def test_an_unfurled_link_is_no_edit() -> None:
    before = kept()
    assert changed(before, before.message.content) == (before, Effect.SAME)


def test_another_attachment_is_an_edit() -> None:
    before = kept()
    after, effect = inbox.edited(before, content=before.message.content, attachments=(LOG,))
    assert (after.message.attachments, effect) == ((LOG,), Effect.DONE)


@pytest.mark.parametrize("state", [S.HELD, S.READY, S.EXPIRED])
def test_what_is_deleted_while_it_waits_is_withdrawn(state: InboxState) -> None:
    after, effect = inbox.deleted(kept(state=state))
    assert (after.state, after.wish, effect) == (S.WITHDRAWN, Wish.NONE, Effect.DONE)


@pytest.mark.parametrize("state", [S.READY, S.SUBMITTED])
def test_what_is_deleted_once_the_runner_may_have_it_is_a_wish(state: InboxState) -> None:
    after, effect = inbox.deleted(kept(state=state, taken=True))
    assert (after.state, after.wish, effect) == (state, Wish.WITHDRAW, Effect.WISHED)
    assert after.is_order
    assert inbox.deleted(after) == (after, Effect.SAME)


@pytest.mark.parametrize("state", [S.ENDED, S.REFUSED])
def test_a_deletion_after_the_end_says_nothing(state: InboxState) -> None:
    assert inbox.deleted(kept(state=state)) == (kept(state=state), Effect.TOLD)


def test_an_edit_after_a_deletion_leaves_it_deleted() -> None:
    gone, _ = inbox.deleted(kept(state=S.SUBMITTED, taken=True))
    assert changed(gone)[0].wish is Wish.WITHDRAW


def test_an_edit_on_the_way_to_the_runner_is_over_once_that_text_arrived() -> None:
    newer, _ = changed(kept(taken=True))
    assert not newer.is_order
    assert inbox.submitted(newer, version=2, is_duplicate=False) == replace(
        newer, state=S.SUBMITTED, wish=Wish.NONE
    )


@pytest.mark.parametrize(("version", "is_duplicate"), [(1, False), (2, True)])
def test_an_edit_on_the_way_stays_a_wish_where_the_runner_may_have_the_older_text(
    version: int, is_duplicate: bool
) -> None:
    newer, _ = changed(kept(taken=True))
    after = inbox.submitted(newer, version=version, is_duplicate=is_duplicate)
    assert (after.state, after.wish, after.is_order) == (S.SUBMITTED, Wish.AMEND, True)


def test_an_answer_that_comes_after_the_end_changes_nothing() -> None:
    over = inbox.ended(kept(taken=True))
    assert over.state is S.ENDED
    assert inbox.submitted(over, version=1, is_duplicate=False) == over


def test_a_wish_that_was_done_is_over_unless_a_newer_one_came() -> None:
    wished, _ = changed(kept(state=S.SUBMITTED, taken=True))
    newer, _ = changed(wished, "newer")
    assert inbox.carried_out(wished, version=2) == replace(wished, wish=Wish.NONE)
    assert inbox.carried_out(newer, version=2) == newer


def test_a_withdrawal_that_was_done_ends_the_message() -> None:
    gone, _ = inbox.deleted(kept(state=S.SUBMITTED, taken=True))
    assert inbox.carried_out(gone, version=2) == replace(gone, state=S.WITHDRAWN, wish=Wish.NONE)
    assert inbox.withdrawn(gone) == replace(gone, state=S.WITHDRAWN, wish=Wish.NONE)


@pytest.mark.parametrize("state", [S.READY, S.SUBMITTED])
def test_a_wish_that_came_too_late_is_told_once(state: InboxState) -> None:
    wished, _ = inbox.deleted(kept(state=state, taken=True))
    after = inbox.too_late(wished)
    assert after == replace(wished, state=S.SUBMITTED, wish=Wish.NONE, is_told=True)
    assert changed(after) == (after, Effect.TOLD)
    assert inbox.deleted(after) == (after, Effect.TOLD)


@pytest.mark.parametrize("state", list(S))
def test_only_what_has_not_arrived_can_be_refused(state: InboxState) -> None:
    after = inbox.refused(kept(state=state), reason="NoPermission")
    can = state in {S.HELD, S.READY}
    assert (after.state, after.reason) == ((S.REFUSED, "NoPermission") if can else (state, ""))


def test_what_was_offered_is_run_or_left() -> None:
    beyond = kept(state=S.EXPIRED)
    assert inbox.offered(beyond, is_wanted=True).state is S.READY
    assert inbox.offered(beyond, is_wanted=False).state is S.WITHDRAWN
    assert inbox.offered(kept(), is_wanted=False) == kept()


def test_history_brings_a_newer_text_only_where_nothing_newer_was_heard() -> None:
    before = kept()
    text = replace(message(1), content="from history")
    edited, _ = changed(before)
    assert inbox.reread(before, text) == replace(before, message=text)
    assert inbox.reread(edited, text) == edited
    taken = kept(taken=True)
    assert inbox.reread(taken, text) == taken


def test_catch_up_is_bounded_by_time_and_number() -> None:
    def is_run(age: float, already: int) -> bool:
        return inbox.is_within_catch_up(snowflake_at(NOW - age), now=NOW, already=already)

    day = 24 * 3600
    assert [is_run(day - 1, 49), is_run(day + 1, 0), is_run(60, 50)] == [True, False, False]
