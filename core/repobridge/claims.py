"""Which bridge has a channel: pure, so that operator and gateway never differ about it.

The present holder keeps it, then the older bridge has it, then the one with the lower UID. A
namespace may have only what the tenancy rules give it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from repobridge.conditions import Reason, sentence
from repobridge.crd import RepoBridge


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A bridge that wants a channel."""

    uid: str
    namespace: str
    name: str
    channel_id: str
    created: datetime
    holds: bool = False
    """Whether it was the one that had this channel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenancyRule:
    """What some namespaces may have."""

    namespaces: frozenset[str]
    guilds: frozenset[str] = frozenset()
    """Every channel of these."""
    channels: frozenset[str] = frozenset()
    """And these channels."""


Tenancy = Sequence[TenancyRule]
"""A namespace may have what any rule gives it; without a single rule, everyone may have all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a bridge has the channel that it wants."""

    accepted: bool
    reason: Reason
    message: str
    """For the condition Accepted."""


ACCEPTED = Verdict(accepted=True, reason=Reason.ACCEPTED, message=sentence(Reason.ACCEPTED))


def claim_of(bridge: RepoBridge) -> Claim | None:
    """What a bridge claims; None if it wants no channel or is being deleted."""
    if bridge.spec.discord is None or bridge.metadata.deletion_timestamp is not None:
        return None
    channel = bridge.spec.discord.channel_id
    return Claim(
        uid=bridge.metadata.uid,
        namespace=bridge.metadata.namespace,
        name=bridge.metadata.name,
        channel_id=channel,
        # The API server always says when; an object without it is not stored yet.
        created=bridge.metadata.creation_timestamp or datetime.max.replace(tzinfo=UTC),
        holds=bridge.status.channel_id == channel,
    )


def decide(
    claims: Iterable[Claim], *, tenancy: Tenancy = (), guilds: Mapping[str, str] | None = None
) -> dict[str, Verdict]:
    """The verdict on each claim, by UID; `guilds` has the guilds of channels as far as known."""
    by_channel: defaultdict[str, list[Claim]] = defaultdict(list)
    verdicts = {}
    for claim in claims:
        if may_have(claim, tenancy=tenancy, guild=(guilds or {}).get(claim.channel_id)):
            by_channel[claim.channel_id].append(claim)
        else:
            verdicts[claim.uid] = _not_allowed(claim)
    for rivals in by_channel.values():
        holder = min(rivals, key=_rank)
        verdicts |= {
            each.uid: ACCEPTED if each.uid == holder.uid else _taken(each, holder)
            for each in rivals
        }
    return verdicts


def may_have(claim: Claim, *, tenancy: Tenancy, guild: str | None) -> bool:
    """Whether a namespace may have a channel.

    Only Discord knows the guild of a channel. Where it is not known, a namespace that may have
    some guild is not refused here: the gateway, which does know, refuses it then.
    """
    if not tenancy:
        return True
    rules = [rule for rule in tenancy if claim.namespace in rule.namespaces]
    return any(
        claim.channel_id in rule.channels
        or (guild in rule.guilds if guild is not None else bool(rule.guilds))
        for rule in rules
    )


def _rank(claim: Claim) -> tuple[bool, datetime, str]:
    return not claim.holds, claim.created, claim.uid


def _taken(claim: Claim, holder: Claim) -> Verdict:
    # Names of other namespaces are not everyone's business.
    near = holder.namespace == claim.namespace
    who = f"RepoBridge {holder.name}" if near else "a RepoBridge of another namespace"
    return Verdict(
        accepted=False,
        reason=Reason.CHANNEL_TAKEN,
        message=sentence(Reason.CHANNEL_TAKEN, channel=claim.channel_id, holder=who),
    )


def _not_allowed(claim: Claim) -> Verdict:
    return Verdict(
        accepted=False,
        reason=Reason.CHANNEL_NOT_ALLOWED,
        message=sentence(
            Reason.CHANNEL_NOT_ALLOWED, namespace=claim.namespace, channel=claim.channel_id
        ),
    )
