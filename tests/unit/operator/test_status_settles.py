"""Whatever a pod's status says: a bridge gets a status, and the same facts never a second one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from repobridge.claims import ACCEPTED, Verdict
from repobridge.conditions import ConditionType, Reason
from repobridge.idle import Activity
from repobridge.session.events import RunnerState
from repobridge_operator.refusals import ApiRefusal
from repobridge_operator.resources import naming
from repobridge_operator.status import Seen, observe
from repobridge_operator.statuswrite import make_status
from tests.unit.operator.bridges import UID, bridge
from tests.unit.operator.pods import container, event, pod

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
_TIMES = st.integers(-3600, 3600).map(
    lambda seconds: (NOON + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
)
_WORDS = st.sampled_from(
    [
        "", "secret \"a\" not found", "0/3 nodes are available: 3 Insufficient memory.",
        "0/1 nodes are available: 1 node(s) didn't match PersistentVolume's node affinity.",
        'persistentvolumeclaim "x" not found', "exceeded quota: team",
        "because it is being terminated", "{braces} and {0}", "repobridge-runner: No volume.",
    ]
) | st.text(max_size=60)  # fmt: skip
_REASONS = st.sampled_from(
    [
        "", "ContainerCreating", "ErrImagePull", "ImagePullBackOff", "CreateContainerConfigError",
        "RunContainerError", "OOMKilled", "Error", "Completed", "Evicted", "Terminated",
        "FailedMount", "FailedAttachVolume", "Pulling", "Pulled", "Infeasible", "NodeNotReady",
    ]
)  # fmt: skip
_CONDITIONS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            ["PodScheduled", "Ready", "ContainersReady", "DisruptionTarget", "PodResizePending"]
        ),
        "status": st.sampled_from(["True", "False", "Unknown"]),
        "lastTransitionTime": _TIMES,
    },
    optional={"reason": _REASONS, "message": _WORDS},
)
_STATES: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.fixed_dictionaries({"running": st.fixed_dictionaries({"startedAt": _TIMES})}),
    st.fixed_dictionaries(
        {"waiting": st.fixed_dictionaries({"reason": _REASONS}, optional={"message": _WORDS})}
    ),
    st.fixed_dictionaries(
        {
            "terminated": st.fixed_dictionaries(
                {"exitCode": st.integers(0, 255), "reason": _REASONS},
                optional={"message": _WORDS, "startedAt": _TIMES, "finishedAt": _TIMES},
            )
        }
    ),
    st.just({}),
)
_PARTS: dict[str, st.SearchStrategy[Any]] = {
    "reason": _REASONS,
    "message": _WORDS,
    "podIP": st.just("10.88.0.7"),
    "conditions": st.lists(_CONDITIONS, max_size=5, unique_by=lambda each: str(each["type"])),
    "containerStatuses": _STATES.map(lambda state: [container(state)]),
}
_PHASES = st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown"])
_STATUSES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"phase": _PHASES}, optional=_PARTS
)
_PODS = st.builds(
    pod,
    _STATUSES,
    node=st.sampled_from(["", "worker-1"]),
    deleted=st.just("") | _TIMES,
    deaths=st.integers(0, 20),
)
_EVENTS = st.lists(st.builds(event, _REASONS, _WORDS, at=_TIMES), max_size=4)
_ACTIVITIES = st.builds(
    Activity,
    state=st.sampled_from([None, *RunnerState]),
    last_activity=st.none() | st.floats(1.7e9, 1.8e9),
    live_sessions=st.integers(0, 9),
    problem_reason=st.sampled_from(["", "CloneFailed", "WorkspaceFull", "AGENT_VERSION"]),
    problem=_WORDS,
)
_REFUSALS = st.builds(
    ApiRefusal,
    kind=st.sampled_from(["Pod", "PersistentVolumeClaim", "NetworkPolicy"]),
    name=st.just("rb-payments-0"),
    message=_WORDS,
)
_CLAIMS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "metadata": st.fixed_dictionaries(
            {
                "name": st.just("rb-payments-workspace-0"),
                "labels": st.sampled_from([{}, naming.labels("payments", UID)]),
            }
        )
    }
)
_SPECS = st.fixed_dictionaries(
    {"replicas": st.integers(0, 1), "suspend": st.booleans()},
)
_TAKEN = Verdict(accepted=False, reason=Reason.CHANNEL_TAKEN, message="Taken.")
_FACTS = st.fixed_dictionaries(
    {
        "verdict": st.sampled_from([ACCEPTED, _TAKEN]),
        "pod": st.none() | _PODS,
        "template_changed": st.booleans(),
        "events": _EVENTS,
        "claim": st.none() | _CLAIMS,
        "refusal": st.none() | _REFUSALS,
        "not_grown": st.none() | _REFUSALS,
        "taken": st.sampled_from(["", "Pod rb-payments-0"]),
        "activity": st.none() | _ACTIVITIES,
        "silent": st.sampled_from(["", "connection refused"]),
    }
)


@settings(deadline=None)
@given(_SPECS, _FACTS, st.integers(0, 7200).map(lambda seconds: NOON + timedelta(seconds=seconds)))
def test_the_same_facts_are_written_once(
    spec: dict[str, Any], facts: dict[str, Any], now: datetime
) -> None:
    seen = Seen(bridge=bridge(spec), **facts)
    first = make_status(seen.bridge.status, observe(seen, now=now), now=now)
    assert first is not None
    after = Seen(bridge=bridge(spec, status=first), **facts)
    later = now + timedelta(seconds=1)
    standing = observe(after, now=now)
    assert make_status(after.bridge.status, standing, now=later) is None
    said = {each.type: each for each in after.bridge.status.conditions}
    assert set(said) == set(ConditionType)
    assert {each.reason for each in said.values()} <= {each.value for each in Reason}
    assert all(each.message for each in said.values())
