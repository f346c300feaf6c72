"""What a durable store of the gateway does: each call is one commit, on disk when it returns.

Calls raise a Refusal: STORE_FULL (RESOURCE_EXHAUSTED: there is no room, nothing was written; what
ends a piece or a click on its way, and what makes room, has a reserve of its own),
STORE_BUSY (UNAVAILABLE: try again), STORE_FAILED (INTERNAL), STORE_CLOSED (UNAVAILABLE). `say` is
what people hear of a step: the pieces join the outbox in the same commit, and only if the step
was taken, so that nobody hears it twice or never.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from repobridge.session.events import Cursor
from repobridge_gateway.chat import ChatMessage, MessageEdited
from repobridge_gateway.clicks import Asked, Click, Clicked
from repobridge_gateway.inbox import Effect, InboxState, Kept
from repobridge_gateway.limits.ledger import Ledger, Spending
from repobridge_gateway.outbox import Due, Live, Outgoing, Sending
from repobridge_gateway.steady import Steady

Say = Sequence[Outgoing]
NOTHING_SEEN: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A message that is on disk."""

    state: InboxState
    is_new: bool
    is_taken: bool
    """Hand it over at once: nothing is before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """The next message of a conversation, or one of those behind it."""

    kept: Kept
    position: int
    """1 is the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a bridge has to do for us."""

    waiting: int = 0
    """Messages that its runner does not have, held ones too."""
    submitted: int = 0
    """Messages that its runner has, and has not ended."""
    wishes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A channel in which messages were missed; `gap_id` and `round` say which miss."""

    gap_id: int
    round: int
    """Grows when messages were missed again before it was filled."""
    channel_id: str
    bridge: str
    conversation: str
    reason: str
    after: str
    """Read history from here."""
    is_complete: bool = False
    filled: int = 0
    expired: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """A gap that is no more."""

    ready: int
    """Messages that were held until now."""
    expired: int
    """Messages that wait for somebody to say whether to run them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A thread that is to be opened from a message, with whose id it is known."""

    thread_id: str
    starter_id: str
    """Its first prompt."""
    channel_id: str
    bridge: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What a bridge's log says up to a cursor, as far as people hear of it."""

    bridge: str
    cursor: Cursor
    pieces: tuple[Outgoing, ...] = ()
    ended: tuple[str, ...] = ()
    """Ids of messages whose end it tells."""
    withdrawn: tuple[str, ...] = ()
    asked: tuple[Asked, ...] = ()
    resolved: tuple[str, ...] = ()
    """Ids of requests that are over: their buttons go."""
    turns_over: tuple[str, ...] = ()
    """Turns whose live message has one edit to come."""
    spending: Spending | None = None
    """What a turn has used; noted in the same commit."""


class InboxStore(Protocol):
    """Messages of people."""

    async def receive(
        self, message: ChatMessage, *, bridge: str, conversation: str, take: bool = False
    ) -> Receipt:
        """Keeps a message once; where its channel has no gap, the cursor moves to it.

        With `take` it is taken to be handed over, if it is the next of its conversation.
        """

    async def turn_away(
        self, message: ChatMessage, *, bridge: str, conversation: str, reason: str, say: Say = ()
    ) -> bool:
        """Passes a message by for good, also where history brings it; False where it is known."""

    async def pass_by(self, channel_id: str, message_id: str) -> None:
        """Moves the cursor, where there is no gap, over a message that is not for us."""

    async def edit(self, edit: MessageEdited, *, say: Say = ()) -> Effect:
        """Does what an edit can still do; `say` is for TOO_LATE."""

    async def delete(self, channel_id: str, message_ids: Sequence[str]) -> Mapping[str, Effect]:
        """Does what deletions can still do.

        In a channel with a gap they are also kept for messages that history may yet bring.
        """

    async def next_for(self, bridge: str) -> Sequence[Waiting]:
        """The next message of each conversation, taken: hand it over, then `submitted`.

        It is the same until it is submitted or refused. What a gap may still bring is waited for.
        """

    async def queue(self, bridge: str, conversation: str) -> Sequence[Waiting]:
        """The messages of a conversation that its runner does not have, in their order."""

    async def submitted(self, message_id: str, *, version: int, is_duplicate: bool = False) -> bool:
        """Notes that the runner has it; True: a wish came meanwhile, and can be carried out."""

    async def refuse(self, message_id: str, *, reason: str, say: Say = ()) -> bool:
        """Ends a message that won't be run; False where that was too late."""

    async def orders(self, bridge: str) -> Sequence[Kept]:
        """Wishes to carry out, when none of their conversations' hand-overs is under way.

        Of one whose state is ENDED nothing is left to do but to say so (`too_late`).
        """

    async def carried_out(self, message_id: str, *, version: int) -> None:
        """Notes that the runner did it, or never had the message that was to be withdrawn."""

    async def too_late(self, message_id: str, *, say: Say = ()) -> None:
        """Notes that the runner had begun it."""

    async def expired(self, group: int) -> Sequence[Kept]:
        """The messages beyond one gap's catch-up that nobody decided on, in their order."""

    async def offered(self, group: int, *, is_wanted: bool) -> int:
        """Runs them, or lets them be; how many."""

    async def find(self, message_id: str) -> Kept | None:
        """A message, whatever became of it."""

    async def work(self) -> Mapping[str, Work]:
        """The bridges that have any."""

    async def unmarked(self, limit: int) -> Sequence[tuple[str, str]]:
        """Channel and id of messages whose receipt is not shown yet."""

    async def marked(self, message_ids: Sequence[str]) -> None:
        """Notes that it is shown, or can't be."""

    async def end_channel(self, channel_id: str) -> Sequence[str]:
        """Forgets what waits for a channel that is gone, in both directions.

        Returns the bridges whose pieces were on their way there: their logs may be acknowledged.
        """


class GapStore(Protocol):
    """Channels in which messages were missed."""

    async def open_gap(
        self, channel_id: str, *, bridge: str, conversation: str, reason: str, first: str
    ) -> Gap:
        """Holds a channel's messages until history has filled it.

        `first` is where the history of a channel without a cursor begins: its bridge's creation.
        What waits in the channel is read again, as it may have been edited or deleted.
        """

    async def distrust(self) -> None:
        """Opens the gap of every channel in which messages wait: nobody knows what they say now."""

    async def waiting(self, channel_id: str) -> Mapping[str, int]:
        """The messages that stand in a channel and wait, with their versions."""

    async def fill(
        self,
        gap: Gap,
        page: Sequence[ChatMessage],
        *,
        through: str,
        is_last: bool,
        seen: Mapping[str, int] = NOTHING_SEEN,
        gone: Collection[str] = (),
    ) -> Gap | None:
        """Keeps a page of history that was read up to `through`; None: the gap is another now.

        `seen` is what waited before it was read, and `gone` what of that is deleted: both count
        for those to which nothing was done since.
        """

    async def close_gap(self, gap: Gap, *, say: Say = ()) -> Closed | None:
        """Lets held messages go and moves the cursor; None: there is still, or again, a gap."""

    async def gaps(self) -> Sequence[Gap]:
        """Every gap."""

    async def archived_through(self, channel_id: str) -> str:
        """When the last thread was archived that a whole listing showed; empty: never listed."""

    async def listed(self, channel_id: str, *, archived_through: str) -> None:
        """Notes that the archived threads of a channel were listed, and their gaps opened."""

    async def cursor(self, channel_id: str) -> str:
        """Up to which message everything of a channel was received; empty: nobody knows."""


class OpeningStore(Protocol):
    """Threads that are to be opened from messages."""

    async def ask(self, starter: ChatMessage, *, bridge: str, title: str) -> bool:
        """Keeps the first prompt of a thread, which waits for it; False where there is one."""

    async def waiting(self) -> Sequence[Opening]:
        """The threads that are to be opened."""

    async def opened(self, opening: Opening) -> None:
        """Lets the prompt go, and takes its message out of the channel's session."""

    async def refused(self, opening: Opening, *, say: Say = ()) -> None:
        """Forgets the prompt: its message stays what it was in the channel."""


class OutboxStore(Protocol):
    """Pieces on their way into channels."""

    async def deliver(self, delivery: Delivery) -> bool:
        """Keeps what a log says; False where that was done before, and nothing was kept."""

    async def say(self, bridge: str, pieces: Say) -> None:
        """Keeps pieces that are in no log; those that are known by turn and index are left out."""

    async def due(self, *, limit: int = 1000) -> Sequence[Due]:
        """The first open piece of each channel."""

    async def begin(self, send_id: int, *, now: Steady) -> Sending | None:
        """Notes that a piece is sent from now on; None where nothing is left to do."""

    async def sending(self, send_id: int) -> Sending | None:
        """A piece, to search for."""

    async def sent(self, send_id: int, *, message_id: str) -> None:
        """Notes the message that a piece has become, or that was found."""

    async def not_sent(self, send_id: int) -> None:
        """Notes that a piece did not arrive: it is known, or it was searched for."""

    async def lost(self, send_id: int, *, reason: str) -> None:
        """Gives a piece up: the channel is gone, or closed to us."""

    async def seen_own(self, nonce: str, *, message_id: str) -> str:
        """Notes a message of ours that stands in a channel; whose it is, or empty where the nonce
        says nothing.
        """

    async def delivered(self, bridge: str) -> Cursor | None:
        """From where to read a bridge's log on."""

    async def ack(self, bridge: str) -> Cursor | None:
        """The furthest place in a bridge's log that may be acknowledged; None: nothing was read."""

    async def counts(self) -> Mapping[str, int]:
        """How many pieces are in each state."""

    async def put_live(self, live: Live) -> None:
        """Keeps a turn's live message, before it is sent and when it is made anew."""

    async def live_sent(self, bridge: str, turn: str, *, message_id: str) -> None:
        """Notes the id of a live message."""

    async def drop_live(self, bridge: str, turn: str) -> None:
        """Forgets a live message after its last edit."""

    async def lives(self) -> Sequence[Live]:
        """Every live message."""


class ClickStore(Protocol):
    """Decisions that were asked for, and the clicks."""

    async def click(self, click: Click) -> Clicked:
        """Keeps a click if it is the first on its request, and says what it comes to."""

    async def standing(self, click: Click) -> Clicked:
        """What a click would come to; nothing of it is kept."""

    async def choose(self, click: Click) -> Clicked:
        """Keeps a part of an answer, which decides nothing yet; says what it comes to."""

    async def choices(self, ulid: str) -> Sequence[Click]:
        """The parts of an answer that were kept, in the order in which they came."""

    async def end(self, ulid: str) -> None:
        """Ends a request of which no log will tell the end; its buttons go."""

    async def undecided(self) -> Sequence[tuple[Click, Asked]]:
        """Clicks that won and are not carried out yet."""

    async def decided(self, interaction_id: str) -> None:
        """Notes that a click was carried out."""

    async def released(self, interaction_id: str) -> None:
        """Lets others decide: this click could not."""

    async def asked(self, ulid: str) -> Asked | None:
        """An open request."""

    async def turn(self, bridge: str, turn_id: str) -> Asked | None:
        """The row of a turn, which knows who asked for it, also once it is over."""

    async def open_requests(self, bridge: str = "") -> Sequence[Asked]:
        """The open requests, of one bridge or of all."""

    async def stale_buttons(self) -> Sequence[Asked]:
        """Messages whose buttons are still to be taken away."""

    async def buttons_gone(self, ulid: str) -> None:
        """Notes that they are."""


class Store(Protocol):
    """All of it."""

    @property
    def inbox(self) -> InboxStore:
        """Messages of people."""

    @property
    def gaps(self) -> GapStore:
        """Channels in which messages were missed."""

    @property
    def openings(self) -> OpeningStore:
        """Threads to open."""

    @property
    def outbox(self) -> OutboxStore:
        """Pieces on their way."""

    @property
    def ledger(self) -> Ledger:
        """What was used of limits."""

    @property
    def clicks(self) -> ClickStore:
        """Decisions."""

    async def trim(self, served: Collection[str]) -> int:
        """Forgets what was over 30 days ago, or waited as long for a bridge that is not served.

        In small steps; how many rows. Where nothing is served, nothing that waits is forgotten.
        """

    async def close(self) -> None:
        """Lets go of it."""
