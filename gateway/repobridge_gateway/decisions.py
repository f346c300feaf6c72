"""What people click, choose and write at our messages: checked, kept, and then carried out.

What was clicked carries no authority: the request is looked up, its bridge has to be this
channel's, and the roles are those that came with the click. The first click on a request is in the
store before anything is done; everybody else reads who was first. Each interaction is acknowledged
before the first slow step, as Discord waits three seconds for that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol
from weakref import WeakValueDictionary

from repobridge.errors import Refusal
from repobridge.session import events as ev
from repobridge.telemetry import Logger
from repobridge_gateway.channels import Channels, Served
from repobridge_gateway.chat import ChatError, Interaction, InteractionKind
from repobridge_gateway.clickchecks import (
    NOTHING_HERE,
    ClickChecks,
    NotDecided,
    standing_sentence,
)
from repobridge_gateway.clicks import Asked, Click, Standing
from repobridge_gateway.decider import Decider
from repobridge_gateway.missedclicks import MissedClicks
from repobridge_gateway.pacer import Overloaded, Replaced
from repobridge_gateway.render import wording
from repobridge_gateway.render.custom_id import (
    CustomId,
    Kind,
    Verb,
    make_custom_id,
    parse_custom_id,
)
from repobridge_gateway.render.decisions import deny_modal, revise_modal, suggestion_for
from repobridge_gateway.render.pieces import Modal, Piece
from repobridge_gateway.render.questions import (
    answer_modal,
    chosen,
    is_answered,
    render_question,
    written,
)
from repobridge_gateway.requestbook import RequestBook
from repobridge_gateway.requested import LOST, Request
from repobridge_gateway.session_values import Answer
from repobridge_gateway.settling import Settler, Shown
from repobridge_gateway.store.port import Store
from repobridge_gateway.verdicts import (
    Choice,
    actor_of,
    from_json,
    merged,
    scope_of,
    to_json,
)

MOST_AT_ONCE = 1_000
"""Clicks that are worked on; who clicks beyond reads that it failed, and clicks again."""
FORM_SECONDS = 1.0
"""So long a form waits for the checks; what they did not find out, the answer's own will."""
_FORMS = frozenset({Verb.DENY, Verb.REVISE, Verb.WRITE})
_log = Logger(__name__)


class Answering(Shown, Protocol):
    """How clicks are answered; each call raises ChatError."""

    async def acknowledge(self, interaction: Interaction) -> None:
        """Says that the click has arrived."""

    async def add_privately(self, interaction: Interaction, text: str) -> None:
        """Says a sentence to who clicked, after that."""

    async def say_privately(self, interaction: Interaction, text: str) -> None:
        """Answers a click with a sentence to who clicked."""

    async def ask(self, interaction: Interaction, modal: Modal) -> None:
        """Opens a form."""

    async def edit(self, channel_id: str, message_id: str, piece: Piece) -> None:
        """Changes a message."""


class Decisions:
    """The decisions of every bridge."""

    def __init__(
        self,
        *,
        store: Store,
        rest: Answering,
        channels: Channels,
        work: Callable[[str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`work` hears of a bridge whose inbox has something to hand over."""
        self._store = store
        self._rest = rest
        self._checks = ClickChecks(store=store, channels=channels)
        self._clock = clock
        self._book = RequestBook()
        self._decider = Decider(store=store, channels=channels, work=work)
        self._missed = MissedClicks(
            inbox=store.inbox, channels=channels, shown=rest, work=work, clock=clock
        )
        self._settler = Settler(clicks=store.clicks, shown=rest, book=self._book, clock=clock)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._tasks: set[asyncio.Task[None]] = set()

    # ------------------------------------------------------ what others tell

    def interaction(self, interaction: Interaction) -> None:
        """Takes a click, a choice or a form; returns at once."""
        if len(self._tasks) >= MOST_AT_ONCE:
            _log.error("click not taken", interaction=interaction.interaction_id)
            return
        self._begin(self._answer(interaction), name=f"click {interaction.interaction_id}")

    def asked(self, uid: str, request: Request) -> None:
        """Remembers what a bridge's agent asks."""
        self._book.remember(uid, request)

    def resolved(self, uid: str, resolved: ev.RequestResolved, *, at: float) -> None:
        """Takes the buttons of a request away that the store knows to be over."""
        self._settler.resolved(uid, resolved, at=at)

    def look(self) -> None:
        """Says that a message of ours has arrived: its buttons may be out of date by now."""
        self._settler.look()

    async def run(self) -> None:
        """Carries out what an earlier gateway left, and settles messages, until cancelled."""
        try:
            for click, asked in await self._undecided():
                self._begin(
                    self._carry_out(click, asked, None), name=f"click {click.interaction_id}"
                )
            await self._settler.run()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _undecided(self) -> list[tuple[Click, Asked]]:
        while True:
            try:
                return list(await self._store.clicks.undecided())
            except Refusal as refusal:
                _log.error("clicks not taken up yet", error=str(refusal))
            await asyncio.sleep(1.0)

    def _begin(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        task = asyncio.create_task(_guarded(work), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # ------------------------------------------------------------ one click

    async def _answer(self, interaction: Interaction) -> None:
        what = parse_custom_id(interaction.name)
        if what is None or what.verb is Verb.TEXT:
            await self._rest.say_privately(interaction, NOTHING_HERE)
            return
        if what.verb in _FORMS and interaction.kind is InteractionKind.COMPONENT:
            await self._open_form(interaction, what)
            return
        acknowledging = asyncio.create_task(self._acknowledge(interaction))
        click: Click | None = None
        try:
            if what.kind is Kind.MISSED:
                await self._missed.answer(interaction, what)
            else:
                click, asked = await self._take(interaction, what)
        except NotDecided as no:
            await acknowledging
            await self._say(interaction, no.sentence)
            return
        except Refusal as refusal:
            _log.error("click not kept", error=str(refusal))
            await acknowledging
            await self._say(interaction, "That could not be kept just now; please try again.")
            return
        await acknowledging
        if click is not None:
            await self._carry_out(click, asked, interaction)

    async def _acknowledge(self, interaction: Interaction) -> None:
        try:
            await self._rest.acknowledge(interaction)
        except ChatError as error:
            _log.warning("click not acknowledged", error=str(error))

    async def _say(self, interaction: Interaction | None, text: str) -> None:
        """Tells who clicked; a click of before a restart can't be answered any more."""
        if interaction is None:
            return
        try:
            await self._rest.add_privately(interaction, text)
        except ChatError as error:
            _log.warning("not said", error=str(error))

    async def _open_form(self, interaction: Interaction, what: CustomId) -> None:
        request: Request | None = None
        try:
            async with asyncio.timeout(FORM_SECONDS):
                asked, served = await self._checks.checked(interaction, what)
                request = self._book.known(asked)
                if what.verb is Verb.WRITE and request is None:
                    request = await self._book.find(served, asked)
        except NotDecided as no:
            await self._rest.say_privately(interaction, no.sentence)
            return
        except (TimeoutError, Refusal) as error:
            _log.warning("form opened unchecked", error=str(error))
        await self._rest.ask(interaction, _form(what, request))

    async def _take(self, interaction: Interaction, what: CustomId) -> tuple[Click | None, Asked]:
        """The click once it decides, and is kept; None: it gave a part of an answer."""
        asked, served = await self._checks.checked(interaction, what)
        choice = Choice(
            verb=what.verb,
            guild_id=interaction.place.guild_id,
            message_id=interaction.message_id,
            reason=_text_of(interaction, what).strip(),
        )
        if what.verb in {Verb.CHOOSE, Verb.WRITE}:
            lock = self._locks.setdefault(asked.ulid, asyncio.Lock())
            async with lock:
                return await self._answered(interaction, what, asked, served=served)
        if (scope := scope_of(what.verb)) is not None:
            request = await self._found(served, asked)
            rule = (
                suggestion_for(request, scope)
                if isinstance(request, ev.ApprovalRequested)
                else None
            )
            if rule is None:
                raise NotDecided("That is not offered here.")
            choice = Choice(
                verb=what.verb,
                suggestion_id=rule.id,
                guild_id=choice.guild_id,
                message_id=choice.message_id,
            )
        return await self._kept(interaction, asked, choice), asked

    async def _kept(self, interaction: Interaction, asked: Asked, choice: Choice) -> Click:
        click = Click(
            interaction_id=interaction.interaction_id,
            ulid=asked.ulid,
            person=interaction.person,
            verdict=to_json(choice),
        )
        clicked = await self._store.clicks.click(click)
        if clicked.standing is not Standing.WON:
            raise NotDecided(standing_sentence(clicked, interaction))
        return click

    async def _carry_out(self, click: Click, asked: Asked, interaction: Interaction | None) -> None:
        choice = from_json(click.verdict)
        if choice.answers:
            self._book.answer(asked.ulid, choice.answers)
        if asked.kind == LOST:
            who = wording.person(actor_of(click.person))
            deed = "Continued" if choice.verb is Verb.CONTINUE else "Discarded"
            self._settler.ended(asked.ulid, f"-# {deed} by {who} · <t:{int(self._clock())}:t>")
        await self._decider.carry_out(click, asked, lambda text: self._say(interaction, text))
        self._settler.look()

    # -------------------------------------------------------------- questions

    async def _answered(
        self, interaction: Interaction, what: CustomId, asked: Asked, *, served: Served
    ) -> tuple[Click | None, Asked]:
        """Keeps an answer to one question; with the last one, all are the decision."""
        request = await self._found(served, asked)
        if not isinstance(request, ev.QuestionAsked):
            raise NotDecided(NOTHING_HERE)
        answer = _answer_of(interaction, what, request)
        parts = await self._store.clicks.choices(asked.ulid)
        before = merged(from_json(part.verdict).answers for part in parts)
        if any(each.question_id == answer.question_id for each in before):
            raise NotDecided("Somebody has answered that question before you.")
        answers = merged([before, (answer,)])
        choice = Choice(verb=what.verb, answers=answers, guild_id=interaction.place.guild_id)
        if is_answered(request, answers):
            return await self._kept(interaction, asked, choice), asked
        part = Click(
            interaction_id=interaction.interaction_id,
            ulid=asked.ulid,
            person=interaction.person,
            verdict=to_json(Choice(verb=what.verb, answers=(answer,))),
        )
        clicked = await self._store.clicks.choose(part)
        if clicked.standing is not Standing.WON:
            raise NotDecided(standing_sentence(clicked, interaction))
        self._book.answer(asked.ulid, answers)
        piece = render_question(request, key=asked.ulid, answers=answers)
        message_id = asked.message_id or interaction.message_id
        try:
            await self._rest.edit(asked.channel_id, message_id, piece)
        except (ChatError, Overloaded, Replaced) as error:
            _log.warning("answers not shown", error=str(error))
        return None, asked

    async def _found(self, served: Served, asked: Asked) -> Request:
        try:
            request = await self._book.find(served, asked)
        except Refusal as refusal:
            _log.warning("request not read", request=asked.request_id, error=str(refusal))
            raise NotDecided("The agent can't be reached right now; please try again.") from refusal
        if request is None:
            raise NotDecided("The agent does not wait for that any more.")
        return request


async def _guarded(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except ChatError as error:
        _log.warning("click not answered", error=str(error))
    except Exception as error:  # one click must not end the others
        _log.error("click broke", cause=error)


def _form(what: CustomId, request: Request | None) -> Modal:
    if what.verb is Verb.DENY:
        return deny_modal(what.key)
    if what.verb is Verb.REVISE:
        return revise_modal(what.key)
    number = what.numbers[0]
    if isinstance(request, ev.QuestionAsked) and number < len(request.questions):
        return answer_modal(request, number, key=what.key)
    # What was asked stands in the message; the form can do without.
    blank = ev.QuestionAsked("", (ev.Question(""),) * (number + 1))
    return answer_modal(blank, number, key=what.key)


def _text_of(interaction: Interaction, what: CustomId) -> str:
    """What was written into a form."""
    if interaction.kind is not InteractionKind.MODAL:
        return ""
    name = make_custom_id(what.kind, what.key, Verb.TEXT, *what.numbers)
    return "".join(interaction.fields.get(name, ()))


def _answer_of(interaction: Interaction, what: CustomId, request: ev.QuestionAsked) -> Answer:
    number = what.numbers[0]
    answer: Answer | None
    if what.verb is Verb.WRITE and number < len(request.questions):
        answer = written(request.questions[number], _text_of(interaction, what))
    else:
        answer = chosen(request, what, interaction.values)
    if answer is None:
        raise NotDecided("That is none of its answers.")
    return answer
