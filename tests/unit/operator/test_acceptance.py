"""Which specs are served, and what is said of the others."""

from __future__ import annotations

import pytest

from repobridge.claims import ACCEPTED, Verdict
from repobridge.conditions import Reason
from repobridge.crd import SpecError, parse
from repobridge_operator.acceptance import verdict_on, verdict_on_error

AGENTS = {
    "claude": {"type": "claude"},
    "command": {"type": "command", "command": ["/bin/agent"]},
    "chat": {
        "type": "chat",
        "chat": {
            "providers": [
                {
                    "name": "one",
                    "api": "anthropic",
                    "model": "opus",
                    "apiKey": {"name": "keys", "key": "one"},
                }
            ]
        },
    },
}
TAKEN = Verdict(accepted=False, reason=Reason.CHANNEL_TAKEN, message="Somebody has it.")


@pytest.mark.parametrize("kind", ["command", "chat"])
def test_an_agent_that_no_runner_runs_is_refused_with_what_to_do(kind: str) -> None:
    bridge = parse({"metadata": {"name": "one"}, "spec": {"agent": AGENTS[kind]}})
    assert verdict_on(bridge, channel=ACCEPTED) == Verdict(
        accepted=False,
        reason=Reason.AGENT_NOT_SERVED,
        message=f"This version runs no agent of type {kind}. Set spec.agent.type to claude, or wait"
        " for a version that runs it.",
    )


@pytest.mark.parametrize("channel", [ACCEPTED, TAKEN])
def test_for_the_rest_the_channel_decides(channel: Verdict) -> None:
    bridge = parse({"metadata": {"name": "one"}, "spec": {"agent": AGENTS["claude"]}})
    assert verdict_on(bridge, channel=channel) == channel


def test_a_spec_that_can_not_be_read_is_refused_with_its_place() -> None:
    verdict = verdict_on_error(SpecError("it is too long", "spec.agent.model"))
    assert (verdict.accepted, verdict.reason) == (False, Reason.SPEC_INVALID)
    assert verdict.message.startswith("spec.agent.model: it is too long")
