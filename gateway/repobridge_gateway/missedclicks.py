"""Somebody says whether messages that came while the gateway was away are to be run after all."""

from __future__ import annotations

from collections.abc import Callable

from repobridge.telemetry import Logger
from repobridge_gateway.access import Permission, refusal_sentence
from repobridge_gateway.channels import Channels, served_by
from repobridge_gateway.chat import ChatError, Interaction
from repobridge_gateway.clickchecks import NO_BRIDGE, NOTHING_HERE, NotDecided
from repobridge_gateway.pacer import Overloaded
from repobridge_gateway.render import wording
from repobridge_gateway.render.custom_id import CustomId, Verb
from repobridge_gateway.render.missed import group_of
from repobridge_gateway.settling import Shown, below
from repobridge_gateway.store.port import InboxStore
from repobridge_gateway.verdicts import actor_of

_log = Logger(__name__)


class MissedClicks:
    """The buttons of the notice that tells of missed messages."""

    def __init__(
        self,
        *,
        inbox: InboxStore,
        channels: Channels,
        shown: Shown,
        work: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self._inbox = inbox
        self._channels = channels
        self._shown = shown
        self._work = work
        self._clock = clock

    async def answer(self, interaction: Interaction, what: CustomId) -> None:
        """Does what was clicked, in one commit; raises NotDecided, Refusal."""
        group = group_of(what)
        waiting = await self._inbox.expired(group) if group is not None else ()
        here = interaction.place.channel_id
        if group is None or any(each.message.place.channel_id != here for each in waiting):
            raise NotDecided(NOTHING_HERE)
        if not waiting:
            await self._settle(interaction, "")
            raise NotDecided("Somebody has decided on these messages before.")
        uid = waiting[0].bridge
        served = served_by(self._channels, uid)
        if served is None:
            raise NotDecided(NO_BRIDGE)
        own = interaction.person.user_id
        is_own = all(each.message.author.user_id == own for each in waiting)
        permission = Permission.PROMPT if is_own else Permission.MANAGE
        access = served.access.at(interaction.place.guild_id)
        if not access.may(interaction.person, permission):
            raise NotDecided(refusal_sentence(access, permission))
        is_wanted = what.verb is Verb.RUN
        if await self._inbox.offered(group, is_wanted=is_wanted) and is_wanted:
            self._work(uid)
        deed = "Run for" if is_wanted else "Left by"
        who = wording.person(actor_of(interaction.person))
        await self._settle(interaction, f"-# {deed} {who} · <t:{int(self._clock())}:t>")

    async def _settle(self, interaction: Interaction, line: str) -> None:
        """Takes the buttons away; a click on ones that are left by a crash comes here again."""
        channel_id, message_id = interaction.place.channel_id, interaction.message_id
        try:
            text = await self._shown.text(channel_id, message_id)
            await self._shown.settle(channel_id, message_id, below(text, line))
        except (ChatError, Overloaded) as error:
            _log.warning("notice not settled", channel=channel_id, error=str(error))
