"""Whether what somebody wrote may go to the agent, and which models may answer it."""

from __future__ import annotations

from dataclasses import dataclass

from repobridge.session.events import MessageKind
from repobridge_gateway.access import (
    EVERY_MODEL,
    Members,
    Permission,
    model_refusal,
    refusal_sentence,
)
from repobridge_gateway.channels import Served
from repobridge_gateway.chat import ChatError, Fault, Person
from repobridge_gateway.commands import Reply, ToAgent, ToGateway

_MANAGING = frozenset({"/clear", "/model"})
"""Commands of the agent's own that change a session for all; ours of that name take as much."""


@dataclass(frozen=True, slots=True)
class Admission:
    """What was found out at one moment."""

    refusal: str = ""
    """What its author reads who may not; empty: they may."""
    models: tuple[str, ...] = ()
    """Those that they may use, as a runner takes them; none: any."""
    person: Person | None = None
    """Its author with roles that are fresh, where something depends on them."""


async def admission(
    served: Served,
    person: Person,
    text: ToAgent | ToGateway | Reply,
    *,
    guild_id: str,
    members: Members,
) -> Admission:
    """Whether somebody's text may go to a bridge's agent now.

    Raises ChatError where that can't be learned now.
    """
    access = served.access.at(guild_id)
    if access.is_pending:
        raise ChatError(Fault.UNKNOWN, "The roles of the guild are not known yet.")
    if access.asks_for_roles:
        try:
            person = await members.fresh(guild_id, person)
        except ChatError as error:
            if error.fault is not Fault.GONE:
                raise
            return Admission("Its author has left the server, so this was not run.")
    for permission in _demanded(text):
        if not access.may(person, permission):
            return Admission(refusal_sentence(access, permission))
    models = access.models(person)
    if EVERY_MODEL in models:
        return Admission(person=person)
    chosen = _chosen_model(text)
    if chosen and (why := model_refusal(models, chosen, own=served.model)):
        return Admission(why)
    return Admission(models=tuple(sorted(models)), person=person)


def _demanded(text: ToAgent | ToGateway | Reply) -> tuple[Permission, ...]:
    if _command(text) in _MANAGING:
        return Permission.PROMPT, Permission.MANAGE
    return (Permission.PROMPT,)


def _chosen_model(text: ToAgent | ToGateway | Reply) -> str:
    if _command(text) != "/model" or not isinstance(text, ToAgent):
        return ""
    return text.text.partition(" ")[2].strip()


def _command(text: ToAgent | ToGateway | Reply) -> str:
    """The agent's own command that a text is; empty where it is none."""
    if not isinstance(text, ToAgent) or text.kind is not MessageKind.AGENT_COMMAND:
        return ""
    return next(iter(text.text.split()), "")
