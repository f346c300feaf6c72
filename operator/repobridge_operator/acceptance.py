"""Whether a bridge can be served as its spec has it: the verdict of the condition Accepted."""

from __future__ import annotations

from repobridge.claims import Verdict
from repobridge.conditions import Reason, sentence
from repobridge.crd import AgentType, RepoBridge, SpecError

_SERVED = frozenset({AgentType.CLAUDE})
"""What the session-runner of this version runs."""


def verdict_on(bridge: RepoBridge, *, channel: Verdict) -> Verdict:
    """The verdict on a bridge whose claim of a channel has that verdict."""
    kind = bridge.spec.agent.type
    if kind in _SERVED:
        return channel
    served = ", ".join(sorted(_SERVED))
    return _refused(Reason.AGENT_NOT_SERVED, type=kind.value, served=served)


def verdict_on_error(error: SpecError) -> Verdict:
    """The verdict on a spec that can't even be read."""
    return _refused(Reason.SPEC_INVALID, path=error.path, detail=error.sentence)


def _refused(reason: Reason, **facts: str) -> Verdict:
    return Verdict(accepted=False, reason=reason, message=sentence(reason, **facts))
