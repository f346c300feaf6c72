"""A person's message from its receipt until it is accounted for: states, and what leads on.

    HELD ──▶ READY ──▶ SUBMITTED ──▶ ENDED
      └──────┴─▶ WITHDRAWN · REFUSED      EXPIRED ──▶ READY · WITHDRAWN

HELD waits for the history of its channel, READY for its session's runner, and SUBMITTED is
durable there. Each function here is one step, pure; a store takes it in one commit.

Between READY and SUBMITTED a message is on its way: whoever means to hand it over has it taken
first, durably. What happens to its text from then on can't be done here alone any more, and
becomes a wish that outlives a crash, until the runner was told.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum

from repobridge_gateway.chat import Attachment, ChatMessage, time_of

CATCH_UP_SECONDS = 24 * 3600.0
CATCH_UP_MESSAGES = 50
"""Of a channel; what is older, or beyond, is offered and not run."""
MOVED = "Moved"
"""The reason of a message that a thread's session was given instead."""


class InboxState(Enum):
    """Where a message stands."""

    HELD = "held"
    READY = "ready"
    SUBMITTED = "submitted"
    ENDED = "ended"
    WITHDRAWN = "withdrawn"
    REFUSED = "refused"
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will come of it by itself."""
        return self not in {InboxState.HELD, InboxState.READY, InboxState.SUBMITTED}


_WAITING = frozenset({InboxState.HELD, InboxState.READY})


class Wish(Enum):
    """What a runner still has to be told about a message that it may have."""

    NONE = "none"
    AMEND = "amend"
    WITHDRAW = "withdraw"


class Effect(Enum):
    """What came of an edit or a deletion."""

    UNKNOWN = "unknown"
    """We do not have this message."""
    SAME = "same"
    """It says what it said before: a link was unfurled, or the event came twice."""
    DONE = "done"
    """It was done here, and nobody else needs to know."""
    WISHED = "wished"
    """Its runner has to be told."""
    TOO_LATE = "too late"
    """It has no effect, and its author hears so now."""
    TOLD = "told"
    """It has no effect, and its author has heard so before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A message as the inbox has it."""

    message: ChatMessage
    bridge: str
    """The UID of the bridge whose channel it came in."""
    conversation: str
    state: InboxState
    version: int = 1
    """Counts what people did to it."""
    is_taken: bool = False
    """Whether its runner may have it, known or not."""
    wish: Wish = Wish.NONE
    is_told: bool = False
    """Whether its author was told that it can't be changed any more."""
    reason: str = ""
    group: int = 0
    """The gap whose catch-up it was beyond."""

    @property
    def message_id(self) -> str:
        """Its snowflake."""
        return self.message.message_id

    @property
    def is_order(self) -> bool:
        """Whether its wish can be carried out now.

        One that was never known to arrive is taken back at once, but amended only once it has
        arrived: handing it over again brings the newer text, or nothing where it had arrived.
        """
        if self.wish is Wish.WITHDRAW:
            return True
        return self.wish is Wish.AMEND and self.state is not InboxState.READY


def edited(kept: Kept, *, content: str, attachments: tuple[Attachment, ...]) -> tuple[Kept, Effect]:
    """The message with another text, as far as that can still be."""
    before = kept.message
    if before.sponsor is not None:
        return kept, Effect.SAME  # who had it run has read these words, and no others
    names = [each.attachment_id for each in attachments]
    if (content, names) == (before.content, [each.attachment_id for each in before.attachments]):
        return kept, Effect.SAME
    if kept.state in {InboxState.WITHDRAWN, InboxState.REFUSED} or kept.is_told:
        return kept, Effect.TOLD
    if kept.state is InboxState.ENDED:
        return replace(kept, is_told=True), Effect.TOO_LATE
    message = replace(before, content=content, attachments=attachments)
    newer = replace(kept, message=message, version=kept.version + 1)
    if not kept.is_taken:
        return newer, Effect.DONE
    wish = Wish.WITHDRAW if kept.wish is Wish.WITHDRAW else Wish.AMEND
    return replace(newer, wish=wish), Effect.WISHED


def deleted(kept: Kept) -> tuple[Kept, Effect]:
    """The message once its author took it back; of what is over nothing is said."""
    if kept.state is InboxState.WITHDRAWN or kept.wish is Wish.WITHDRAW:
        return kept, Effect.SAME
    if kept.state in {InboxState.REFUSED, InboxState.ENDED} or kept.is_told:
        return kept, Effect.TOLD
    newer = replace(kept, version=kept.version + 1)
    if kept.is_taken:
        return replace(newer, wish=Wish.WITHDRAW), Effect.WISHED
    return replace(newer, state=InboxState.WITHDRAWN), Effect.DONE


def moved(kept: Kept) -> Kept:
    """The message once a thread's session has it too: here it is not begun any more."""
    if kept.state is InboxState.EXPIRED or (kept.state in _WAITING and not kept.is_taken):
        return replace(kept, state=InboxState.WITHDRAWN, reason=MOVED)
    if kept.state in _WAITING or kept.state is InboxState.SUBMITTED:
        return replace(kept, version=kept.version + 1, wish=Wish.WITHDRAW, reason=MOVED)
    return kept


def reread(kept: Kept, message: ChatMessage, *, seen: int = 0) -> Kept:
    """The message once history showed it too.

    Where it stood in the inbox before the page was read, in the version `seen`, the page tells of
    edits of which nobody told us. What people did to it since is newer than the page.
    """
    if seen and kept.state in _WAITING:
        if kept.version != seen:
            return kept
        return edited(kept, content=message.content, attachments=message.attachments)[0]
    if kept.is_taken or kept.state.is_final or kept.version > 1:
        return kept
    text = replace(kept.message, content=message.content, attachments=message.attachments)
    return replace(kept, message=text)


def submitted(kept: Kept, *, version: int, is_duplicate: bool) -> Kept:
    """The message once its runner has it; `version` is the one that was handed over.

    A runner that had it before (`is_duplicate`) may have an older text.
    """
    if kept.state is not InboxState.READY:
        return kept
    is_current = version == kept.version and not is_duplicate
    wish = Wish.NONE if kept.wish is Wish.AMEND and is_current else kept.wish
    return replace(kept, state=InboxState.SUBMITTED, is_taken=True, wish=wish)


def refused(kept: Kept, *, reason: str) -> Kept:
    """The message once it is clear that it won't be run."""
    if kept.state not in _WAITING:
        return kept
    return replace(kept, state=InboxState.REFUSED, wish=Wish.NONE, reason=reason)


def ended(kept: Kept) -> Kept:
    """The message once its runner's log tells its end: it may come before a call's answer does."""
    if kept.state not in {InboxState.READY, InboxState.SUBMITTED}:
        return kept
    return replace(kept, state=InboxState.ENDED, is_taken=True)


def withdrawn(kept: Kept) -> Kept:
    """The message once its runner's log tells that it was taken back."""
    if kept.state not in {InboxState.READY, InboxState.SUBMITTED}:
        return kept
    return replace(kept, state=InboxState.WITHDRAWN, is_taken=True, wish=Wish.NONE)


def carried_out(kept: Kept, *, version: int) -> Kept:
    """The message once its runner did what was wished."""
    if kept.wish is Wish.NONE or version != kept.version:
        return kept  # somebody changed it again meanwhile
    is_gone = kept.wish is Wish.WITHDRAW and kept.state is not InboxState.ENDED
    state = InboxState.WITHDRAWN if is_gone else kept.state
    return replace(kept, state=state, wish=Wish.NONE)


def too_late(kept: Kept) -> Kept:
    """The message once its runner said that it had begun it, so that a wish had no effect."""
    if kept.wish is Wish.NONE:
        return kept
    # Begun is more than arrived: no answer to a hand-over is needed any more.
    state = InboxState.SUBMITTED if kept.state is InboxState.READY else kept.state
    return replace(kept, state=state, wish=Wish.NONE, is_told=True)


def offered(kept: Kept, *, is_wanted: bool) -> Kept:
    """An expired message once somebody said whether to run it after all."""
    if kept.state is not InboxState.EXPIRED:
        return kept
    state = InboxState.READY if is_wanted else InboxState.WITHDRAWN
    return replace(kept, state=state)


def is_within_catch_up(message_id: str, *, now: float, already: int) -> bool:
    """Whether a message of history is run without asking, after `already` others of its gap."""
    return already < CATCH_UP_MESSAGES and now - time_of(message_id) <= CATCH_UP_SECONDS


def in_order(messages: Iterable[ChatMessage]) -> list[ChatMessage]:
    """Messages as they were written."""
    return sorted(messages, key=lambda message: int(message.message_id))
