"""Which RepoBridges may be served in which channel: pure, over what is known of all of them.

The operator decides about channels and says so in the status; what it says is taken only where the
same decision made here agrees, and where Discord has told whose channel it is, if that matters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from repobridge.claims import Tenancy, claim_of, decide, may_have
from repobridge.crd import Access as AccessEntry
from repobridge.crd import RepoBridge, Threads
from repobridge_gateway.access import Permission, Rule
from repobridge_gateway.authority import Authority
from repobridge_gateway.channels import Served
from repobridge_gateway.fleet.port import Bridge

_NO_GUILD = ""


@dataclass(frozen=True, slots=True)
class Servable:
    """What is served, and what cannot be decided yet."""

    by_channel: Mapping[str, RepoBridge]
    unplaced: frozenset[str]
    """Channels that may be served only if they are in certain guilds, which are not known yet."""


def servable(
    bridges: Iterable[RepoBridge], *, tenancy: Tenancy, guilds: Mapping[str, str]
) -> Servable:
    """Which bridges hold their channels; `guilds` has the guilds of channels that are known."""
    found = tuple(bridges)
    claims = {claim.uid: claim for each in found if (claim := claim_of(each)) is not None}
    verdicts = decide(claims.values(), tenancy=tenancy, guilds=guilds)
    by_channel, unplaced = {}, set()
    for bridge in found:
        claim = claims.get(bridge.metadata.uid)
        if claim is None or not claim.holds or not verdicts[claim.uid].accepted:
            continue
        guild = guilds.get(claim.channel_id, _NO_GUILD)
        if may_have(claim, tenancy=tenancy, guild=guild):
            by_channel[claim.channel_id] = bridge
        else:
            unplaced.add(claim.channel_id)
    return Servable(by_channel, frozenset(unplaced))


def served(resource: RepoBridge, bridge: Bridge, *, authority: Authority) -> Served:
    """How a bridge that has its channel uses it."""
    spec, discord = resource.spec, resource.spec.discord
    assert discord is not None
    created = resource.metadata.creation_timestamp
    return Served(
        uid=resource.metadata.uid,
        bridge=bridge,
        channel_id=discord.channel_id,
        created_at=created.timestamp() if created is not None else 0.0,
        access=authority.of(rules_of(spec.access)),
        limits=spec.limits,
        model=spec.agent.model,
        require_mention=discord.require_mention,
        threads_are_sessions=discord.threads is Threads.SESSION,
        attachment_threshold=spec.output.attachment_threshold,
        streaming=spec.output.streaming,
        idle_seconds=spec.scaling.idle_seconds,
        attach=f"kubectl bridge attach -n {resource.metadata.namespace} {resource.metadata.name}",
    )


def rules_of(entries: Iterable[AccessEntry]) -> tuple[Rule, ...]:
    """The rules that `spec.access` gives."""
    return tuple(
        Rule(
            role_id=each.role_id or "",
            user_id=each.user_id or "",
            permissions=frozenset(Permission(one.value) for one in each.permissions),
            models=frozenset(each.models),
            limits=each.limits,
        )
        for each in entries
    )
