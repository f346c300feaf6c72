"""Messages in the store: once each, in their order, with what people do to them meanwhile."""

from __future__ import annotations

from dataclasses import replace

from repobridge.session.events import Cursor
from repobridge_gateway.chat import ChatMessage
from repobridge_gateway.inbox import Effect, InboxState, Kept, Wish
from repobridge_gateway.outbox import Outgoing
from repobridge_gateway.store.port import Delivery, Gap, Receipt, Waiting, Work
from repobridge_gateway.store.sqlite import SqliteStore
from tests.unit.gateway.store.chats import (
    BRIDGE,
    CHANNEL,
    NOW,
    OTHER_BRIDGE,
    THREAD,
    edit,
    kept,
    message,
    piece,
    snowflake,
)

S = InboxState


async def receive(
    store: SqliteStore, *numbers: int, channel: str = CHANNEL, conversation: str = "main"
) -> list[Receipt]:
    return [
        await store.inbox.receive(
            message(number, channel=channel), bridge=BRIDGE, conversation=conversation
        )
        for number in numbers
    ]


async def miss(store: SqliteStore, channel: str = CHANNEL, conversation: str = "main") -> Gap:
    return await store.gaps.open_gap(
        channel, bridge=BRIDGE, conversation=conversation, reason="Restarted", first="0"
    )


async def state_of(store: SqliteStore, number: int) -> InboxState:
    found = await store.inbox.find(snowflake(number))
    assert found is not None
    return found.state


async def said(store: SqliteStore) -> list[Outgoing]:
    found = [await store.outbox.sending(each.send_id) for each in await store.outbox.due()]
    return [each.piece for each in found if each]


async def test_a_message_is_kept_whole_and_once(store: SqliteStore) -> None:
    first = await receive(store, 1)
    second = await receive(store, 1)
    assert first == [Receipt(state=S.READY, is_new=True, is_taken=False)]
    assert second == [Receipt(state=S.READY, is_new=False, is_taken=False)]
    await store.inbox.next_for(BRIDGE)
    await store.inbox.submitted(snowflake(1), version=1)
    assert await receive(store, 1) == [Receipt(state=S.SUBMITTED, is_new=False, is_taken=False)]
    assert await store.inbox.find(snowflake(1)) == kept(1, state=S.SUBMITTED, taken=True)
    assert await store.gaps.cursor(CHANNEL) == snowflake(1)


async def test_only_what_is_next_is_taken_at_receipt(store: SqliteStore) -> None:
    async def take(number: int, conversation: str) -> bool:
        receipt = await store.inbox.receive(
            message(number), bridge=BRIDGE, conversation=conversation, take=True
        )
        return receipt.is_taken

    assert [await take(1, "main"), await take(2, "main"), await take(3, "t")] == [True, False, True]
    await store.inbox.submitted(snowflake(1), version=1)
    assert [await take(4, "main")] == [False]


async def test_each_conversation_hands_its_messages_over_in_the_order_of_their_ids(
    store: SqliteStore,
) -> None:
    await receive(store, 3, 1, 2)
    await receive(store, 5, 4, channel=THREAD, conversation="t")
    taken = replace(kept(1), is_taken=True)
    other = replace(taken, message=message(4, channel=THREAD), conversation="t")
    for _ in range(2):  # the same until it is submitted
        assert await store.inbox.next_for(BRIDGE) == [
            Waiting(kept=taken, position=1),
            Waiting(kept=other, position=1),
        ]
    assert not await store.inbox.submitted(snowflake(1), version=1)
    heads = await store.inbox.next_for(BRIDGE)
    assert [each.kept.message_id for each in heads] == [snowflake(2), snowflake(4)]
    queue = await store.inbox.queue(BRIDGE, "main")
    assert [(each.kept.message_id, each.position) for each in queue] == [
        (snowflake(2), 1),
        (snowflake(3), 2),
    ]
    assert await store.inbox.next_for(OTHER_BRIDGE) == []


async def test_nothing_overtakes_what_a_gap_of_its_conversation_may_bring(
    store: SqliteStore,
) -> None:
    await receive(store, 1, channel=THREAD)
    await store.inbox.next_for(BRIDGE)
    await store.inbox.submitted(snowflake(1), version=1)
    await receive(store, 2, channel=THREAD)
    await miss(store, channel=THREAD)
    await store.inbox.next_for(BRIDGE)
    await store.inbox.submitted(snowflake(2), version=1)
    receipt = await store.inbox.receive(message(6), bridge=BRIDGE, conversation="main", take=True)
    assert receipt == Receipt(state=S.READY, is_new=True, is_taken=False)
    assert await store.inbox.next_for(BRIDGE) == []


async def test_an_edit_is_honoured_until_it_is_handed_over_and_is_a_wish_then(
    store: SqliteStore,
) -> None:
    await receive(store, 1, 2)
    assert await store.inbox.edit(edit(1, "first")) is Effect.DONE
    (head,) = await store.inbox.next_for(BRIDGE)
    assert (head.kept.message.content, head.kept.version) == ("first", 2)
    assert await store.inbox.edit(edit(1, "second")) is Effect.WISHED
    assert await store.inbox.orders(BRIDGE) == []
    assert await store.inbox.submitted(snowflake(1), version=2)
    (order,) = await store.inbox.orders(BRIDGE)
    assert (order.wish, order.message.content, order.version) == (Wish.AMEND, "second", 3)
    assert await store.inbox.work() == {BRIDGE: Work(waiting=1, submitted=1, wishes=1)}
    await store.inbox.carried_out(snowflake(1), version=3)
    assert await store.inbox.orders(BRIDGE) == []


async def test_a_deleted_message_is_not_handed_over(store: SqliteStore) -> None:
    await receive(store, 1, 2)
    effects = await store.inbox.delete(CHANNEL, [snowflake(1), snowflake(9)])
    assert effects == {snowflake(1): Effect.DONE, snowflake(9): Effect.UNKNOWN}
    (head,) = await store.inbox.next_for(BRIDGE)
    assert head.kept.message_id == snowflake(2)


async def test_a_message_deleted_on_its_way_is_an_order_and_lets_the_next_pass(
    store: SqliteStore,
) -> None:
    await receive(store, 1, 2)
    await store.inbox.next_for(BRIDGE)
    assert await store.inbox.delete(CHANNEL, [snowflake(1)]) == {snowflake(1): Effect.WISHED}
    (head,) = await store.inbox.next_for(BRIDGE)
    assert head.kept.message_id == snowflake(2)
    (order,) = await store.inbox.orders(BRIDGE)
    await store.inbox.carried_out(snowflake(1), version=order.version)
    assert await state_of(store, 1) is S.WITHDRAWN


async def test_that_something_was_too_late_is_said_once(store: SqliteStore) -> None:
    await receive(store, 1)
    await store.inbox.next_for(BRIDGE)
    await store.inbox.submitted(snowflake(1), version=1)
    await store.inbox.edit(edit(1, "new"))
    for _ in range(2):
        await store.inbox.too_late(snowflake(1), say=[piece("late")])
    assert await store.inbox.edit(edit(1, "newer"), say=[piece("late again")]) is Effect.TOLD
    assert await said(store) == [piece("late")]


async def test_an_edit_of_what_has_ended_is_answered_once(store: SqliteStore) -> None:
    await receive(store, 1)
    await store.inbox.next_for(BRIDGE)
    await store.inbox.submitted(snowflake(1), version=1)
    await store.outbox.deliver(
        Delivery(bridge=BRIDGE, cursor=Cursor("log", 1), ended=(snowflake(1),))
    )
    effects = [await store.inbox.edit(edit(1, f"{n}"), say=[piece(f"late {n}")]) for n in range(2)]
    assert effects == [Effect.TOO_LATE, Effect.TOLD]
    assert await said(store) == [piece("late 0")]


async def test_a_refusal_is_said_once_and_in_the_same_commit(store: SqliteStore) -> None:
    await receive(store, 1)
    refusals = [
        await store.inbox.refuse(snowflake(1), reason="NoPermission", say=[piece(f"no {n}")])
        for n in range(2)
    ]
    assert refusals == [True, False]
    assert await said(store) == [piece("no 0")]
    assert await store.inbox.next_for(BRIDGE) == []
    assert await store.inbox.work() == {}


async def test_receipts_that_are_not_shown_yet_are_known(store: SqliteStore) -> None:
    await receive(store, 1, 2, 3)
    await store.inbox.refuse(snowflake(2), reason="NoPermission")
    assert await store.inbox.unmarked(10) == [(CHANNEL, snowflake(1)), (CHANNEL, snowflake(3))]
    assert await store.inbox.unmarked(1) == [(CHANNEL, snowflake(1))]
    await store.inbox.marked([snowflake(1)])
    assert await store.inbox.unmarked(10) == [(CHANNEL, snowflake(3))]


async def test_a_channel_that_is_gone_ends_what_waits_for_it(store: SqliteStore) -> None:
    await receive(store, 1, 2)
    await receive(store, 3, channel=THREAD, conversation="t")
    await store.inbox.next_for(BRIDGE)
    await miss(store)
    await store.outbox.say(BRIDGE, [piece("a"), piece("b", channel=THREAD)])
    await store.outbox.say(OTHER_BRIDGE, [piece("c")])
    assert await store.inbox.end_channel(CHANNEL) == (OTHER_BRIDGE, BRIDGE)
    assert await store.inbox.end_channel(CHANNEL) == ()
    orders = await store.inbox.orders(BRIDGE)
    assert [(o.message_id, o.wish) for o in orders] == [(snowflake(1), Wish.WITHDRAW)]
    assert await state_of(store, 2) is S.WITHDRAWN
    assert await state_of(store, 3) is S.READY
    assert await store.gaps.gaps() == []
    assert await store.gaps.cursor(CHANNEL) == ""
    assert await said(store) == [piece("b", channel=THREAD)]


async def test_a_message_that_is_not_for_us_moves_the_cursor_alone(store: SqliteStore) -> None:
    await store.inbox.pass_by(CHANNEL, snowflake(7))
    await store.inbox.pass_by(CHANNEL, snowflake(6))
    assert await store.gaps.cursor(CHANNEL) == snowflake(7)
    assert await store.inbox.find(snowflake(7)) is None
    await miss(store)
    await store.inbox.pass_by(CHANNEL, snowflake(8))
    assert await store.gaps.cursor(CHANNEL) == snowflake(7)


async def test_live_messages_of_a_gap_wait_and_history_goes_first(store: SqliteStore) -> None:
    await receive(store, 1)
    gap = await miss(store)
    assert (gap.after, gap.round) == (snowflake(0), 1)  # what waits is read again
    assert [each.state for each in await receive(store, 5)] == [S.HELD]
    filled = await store.gaps.fill(
        gap, [message(5), message(3), message(2)], through=snowflake(5), is_last=False
    )
    assert filled == replace(gap, after=snowflake(5), filled=2)
    assert await store.gaps.close_gap(gap) is None
    assert await store.gaps.cursor(CHANNEL) == snowflake(1)
    await store.gaps.fill(gap, [], through=snowflake(5), is_last=True)
    await receive(store, 6)

    closed = await store.gaps.close_gap(gap, say=[piece("caught up")])

    assert closed is not None
    assert (closed.ready, closed.expired) == (4, 0)
    assert await store.gaps.cursor(CHANNEL) == snowflake(6)
    queue = await store.inbox.queue(BRIDGE, "main")
    assert [w.kept.message_id for w in queue] == [snowflake(n) for n in (1, 2, 3, 5, 6)]
    assert await said(store) == [piece("caught up")]
    assert await store.gaps.close_gap(gap, say=[piece("twice")]) is None


async def test_history_tells_of_edits_and_deletions_but_not_of_what_people_did_since(
    store: SqliteStore,
) -> None:
    await receive(store, 1, 2, 3, 4)
    gap = await miss(store)
    seen = await store.gaps.waiting(CHANNEL)
    assert seen == dict.fromkeys(map(snowflake, (1, 2, 3, 4)), 1)
    await store.inbox.edit(edit(2, "newer than the page"))
    await store.inbox.edit(edit(4, "newer than that it is gone"))
    page = [message(1, content="edited"), message(2, content="old")]
    gone = [snowflake(3), snowflake(4)]
    await store.gaps.fill(gap, page, through=snowflake(4), is_last=True, seen=seen, gone=gone)
    await store.gaps.close_gap(gap)
    queue = await store.inbox.queue(BRIDGE, "main")
    texts = [each.kept.message.content for each in queue]
    assert texts == ["edited", "newer than the page", "newer than that it is gone"]
    assert await state_of(store, 3) is S.WITHDRAWN


async def test_a_gap_that_opens_again_is_filled_again(store: SqliteStore) -> None:
    gap = await miss(store)
    await store.gaps.fill(gap, [message(1)], through=snowflake(1), is_last=True)
    again = await miss(store)
    assert again == replace(gap, round=2, after=snowflake(0), filled=1)
    assert await store.gaps.close_gap(gap) is None
    assert await store.gaps.fill(gap, [message(2)], through=snowflake(2), is_last=True) is None
    assert await store.gaps.close_gap(again) is None
    assert await store.gaps.gaps() == [again]
    assert await store.gaps.cursor(CHANNEL) == "0"


async def test_what_is_beyond_the_bounds_is_offered_as_one_group(store: SqliteStore) -> None:
    gap = await miss(store)
    old = message(1, at=NOW - 25 * 3600)
    page = [old, *(message(n) for n in range(1, 61))]
    filled = await store.gaps.fill(gap, page, through=snowflake(60), is_last=True)
    assert filled is not None
    assert (filled.filled, filled.expired) == (50, 11)
    again = await store.gaps.fill(gap, page, through=snowflake(60), is_last=True)
    assert again == filled
    closed = await store.gaps.close_gap(gap)
    assert closed is not None
    assert (closed.ready, closed.expired) == (50, 11)

    group = await store.inbox.expired(gap.gap_id)

    late = [snowflake(n) for n in range(51, 61)]
    assert [k.message_id for k in group] == [old.message_id, *late]
    assert len(await store.inbox.unmarked(100)) == 50
    assert await store.inbox.offered(gap.gap_id, is_wanted=True) == 11
    assert await store.inbox.offered(gap.gap_id, is_wanted=True) == 0
    assert len(await store.inbox.unmarked(100)) == 61
    (head,) = await store.inbox.next_for(BRIDGE)
    assert head.kept.message_id == old.message_id


async def test_a_deletion_in_a_gap_outlives_a_page_that_was_read_before(
    store: SqliteStore,
) -> None:
    gap = await miss(store)
    assert await store.inbox.delete(CHANNEL, [snowflake(2)]) == {snowflake(2): Effect.DONE}
    await store.gaps.fill(gap, [message(1), message(2)], through=snowflake(2), is_last=True)
    await store.gaps.close_gap(gap)
    queue = await store.inbox.queue(BRIDGE, "main")
    assert [w.kept.message_id for w in queue] == [snowflake(1)]
    assert await store.inbox.unmarked(10) == [(CHANNEL, snowflake(1))]


async def test_history_corrects_a_text_that_nobody_changed_since(store: SqliteStore) -> None:
    gap = await miss(store)
    await receive(store, 1, 2)
    await store.inbox.edit(edit(2, "edited live"))
    page: list[ChatMessage] = [message(n, content="history") for n in (1, 2)]
    await store.gaps.fill(gap, page, through=snowflake(2), is_last=True)
    found: list[Kept | None] = [await store.inbox.find(snowflake(n)) for n in (1, 2)]
    assert [each and each.message.content for each in found] == ["history", "edited live"]
