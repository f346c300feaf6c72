"""Whether a click may decide: the request is open, was asked here, and its person may.

A custom id is only a name, which anybody could make up: all that counts is read from the store, and
the roles are those that came with the click itself.
"""

from __future__ import annotations

from repobridge.telemetry import Logger
from repobridge_gateway.access import Permission, refusal_sentence
from repobridge_gateway.channels import Channels, Served, served_by
from repobridge_gateway.chat import Interaction
from repobridge_gateway.clicks import Asked, Click, Clicked, Standing
from repobridge_gateway.render.custom_id import CustomId, Kind, Verb
from repobridge_gateway.requested import LOST, TURN, turn_of
from repobridge_gateway.store.port import Store
from repobridge_gateway.verdicts import permission_for, taken_sentence

NOTHING_HERE = "There is nothing to decide here any more."
NO_BRIDGE = "This channel has no bridge any more."
_KINDS = {
    "approval": Kind.APPROVAL,
    "plan": Kind.PLAN,
    "question": Kind.QUESTION,
    TURN: Kind.TURN,
    LOST: Kind.TURN,
}
_log = Logger(__name__)


class NotDecided(Exception):
    """What somebody wants can't be; they read why."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class ClickChecks:
    """The checks of every click, and again of every form that comes back."""

    def __init__(self, *, store: Store, channels: Channels) -> None:
        self._store = store
        self._channels = channels

    async def checked(self, interaction: Interaction, what: CustomId) -> tuple[Asked, Served]:
        """The open request that was clicked, by somebody who may; raises NotDecided, Refusal."""
        asked = await self._store.clicks.asked(what.key)
        if asked is None:
            raise NotDecided(await self._why_over(interaction, what))
        if not _is_at_home(interaction, asked) or not _fits(what, asked):
            _log.warning(
                "click on what was not asked there",
                user=interaction.person.user_id,
                channel=interaction.place.channel_id,
            )
            raise NotDecided(NOTHING_HERE)
        served = served_by(self._channels, asked.bridge)
        place = interaction.place
        homes = {place.channel_id, place.parent_id}
        if served is None or (place.parent_id is not None and served.channel_id not in homes):
            raise NotDecided(NO_BRIDGE)
        access = served.access.at(place.guild_id)
        for permission in await self._demanded(interaction, what, asked):
            if not access.may(interaction.person, permission):
                raise NotDecided(refusal_sentence(access, permission))
        return asked, served

    async def _demanded(
        self, interaction: Interaction, what: CustomId, asked: Asked
    ) -> tuple[Permission, ...]:
        if what.kind is not Kind.TURN:
            return (permission_for(what.verb),)
        if await self._is_own(interaction, asked):
            return (Permission.PROMPT,)
        # Who lets another's turn go on asks for it from then on.
        goes_on = what.verb is Verb.CONTINUE
        return (Permission.MANAGE, Permission.PROMPT) if goes_on else (Permission.MANAGE,)

    async def _is_own(self, interaction: Interaction, asked: Asked) -> bool:
        """Whether somebody asked for the turn themselves."""
        _, message_id = turn_of(asked)
        kept = await self._store.inbox.find(message_id) if message_id.isdigit() else None
        return kept is not None and kept.message.author.user_id == interaction.person.user_id

    async def _why_over(self, interaction: Interaction, what: CustomId) -> str:
        """What became of a request that is not open: of a click on it nothing is kept."""
        probe = Click(
            interaction_id=interaction.interaction_id,
            ulid=what.key,
            person=interaction.person,
            verdict="",
        )
        clicked = await self._store.clicks.standing(probe)
        if clicked.asked is None or not _is_at_home(interaction, clicked.asked):
            return NOTHING_HERE
        return standing_sentence(clicked, interaction)


def standing_sentence(clicked: Clicked, interaction: Interaction) -> str:
    """What somebody reads whose click is not the decision."""
    if clicked.standing is Standing.TAKEN:
        return taken_sentence(clicked.winner, interaction.person)
    if clicked.standing is Standing.OVER:
        return "That is over: it was decided elsewhere, or nobody waits for it any more."
    return NOTHING_HERE


def _is_at_home(interaction: Interaction, asked: Asked) -> bool:
    """Whether a click comes from where it was asked."""
    is_message = not asked.message_id or interaction.message_id in {"", asked.message_id}
    return interaction.place.channel_id == asked.channel_id and is_message


def _fits(what: CustomId, asked: Asked) -> bool:
    if _KINDS.get(asked.kind) is not what.kind:
        return False
    return what.kind is not Kind.TURN or (what.verb is Verb.STOP) == (asked.kind == TURN)
