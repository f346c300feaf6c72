"""A pod's memory follows its sessions: up at once, down after a while, and not by force."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repobridge_operator.resize import (
    REFUSED_SECONDS,
    SHRINK_SECONDS,
    Plan,
    PodMemory,
    Resizing,
    accepted,
    make_resize,
    memory_of,
    plan,
    refused,
)
from repobridge_operator.resources.amounts import Memory

MIB = 1 << 20
GIB = 1 << 30


def pod(*conditions: dict[str, str], request: str = "856Mi", limit: str = "2Gi") -> dict[str, Any]:
    resources = {"requests": {"cpu": "250m", "memory": request}, "limits": {"memory": limit}}
    sidecar = {"name": "sidecar", "resources": {"requests": {"memory": "1Mi"}}}
    return {
        "metadata": {"name": "rb-payments-0", "namespace": "team", "uid": "p"},
        "spec": {"containers": [sidecar, {"name": "runner", "resources": resources}]},
        "status": {"conditions": list(conditions)},
    }


def present(request: int, limit: int = 2048, *, infeasible: bool = False) -> PodMemory:
    return PodMemory(wanted=memory(request, limit), is_infeasible=infeasible)


def memory(request: int, limit: int = 2048) -> Memory:
    return Memory(request=request * MIB, limit=limit * MIB)


def test_what_a_pod_asks_for_is_read_from_the_runners_container() -> None:
    assert memory_of(pod()) == PodMemory(wanted=memory(856))
    deferred = {
        "type": "PodResizePending",
        "status": "True",
        "reason": "Deferred",
        "message": "Node didn't have enough resource: memory",
    }
    assert memory_of(pod(deferred)) == PodMemory(
        wanted=memory(856), is_waiting=True, detail="Node didn't have enough resource: memory"
    )
    never = {"type": "PodResizePending", "status": "True", "reason": "Infeasible"}
    assert memory_of(pod(never)) == PodMemory(
        wanted=memory(856), is_infeasible=True, is_waiting=True
    )
    over = {"type": "PodResizePending", "status": "False", "reason": "Infeasible"}
    assert memory_of(pod(over)) == PodMemory(wanted=memory(856))


@pytest.mark.parametrize("given", [{}, {"spec": {"containers": []}}])
def test_a_pod_without_such_amounts_is_none_to_resize(given: dict[str, Any]) -> None:
    assert memory_of(given) is None


def test_a_session_that_comes_gets_its_memory_at_once() -> None:
    found = plan(Resizing(), present(856), memory(1456), now=100.0)
    assert found == Plan(state=Resizing(), target=memory(1456))


def test_what_is_as_it_should_be_is_left_alone() -> None:
    assert plan(Resizing(), present(856), memory(856), now=100.0) == Plan(state=Resizing())


def test_a_session_that_goes_takes_its_memory_along_only_after_a_while() -> None:
    first = plan(Resizing(), present(1456), memory(856), now=100.0)
    assert first == Plan(state=Resizing(less_since=100.0), again_seconds=SHRINK_SECONDS)
    back = plan(first.state, present(1456), memory(1456), now=200.0)
    assert back == Plan(state=Resizing())
    again = plan(back.state, present(1456), memory(856), now=300.0)
    later = plan(again.state, present(1456), memory(856), now=300.0 + SHRINK_SECONDS)
    assert later.target == memory(856)
    assert accepted(later.state) == Resizing()


def test_more_of_one_and_less_of_the_other_is_first_only_more() -> None:
    found = plan(Resizing(), present(856, 4096), memory(1456, 2048), now=0.0)
    assert found.target == memory(1456, 4096)


def test_what_the_api_server_refused_is_not_asked_for_again_until_later_or_otherwise() -> None:
    state = refused(Resizing(), memory(1456), "pods is forbidden: exceeded quota", now=0.0)
    assert plan(state, present(856), memory(1456), now=10.0) == Plan(
        state=state,
        again_seconds=REFUSED_SECONDS - 10.0,
        refusal="pods is forbidden: exceeded quota",
    )
    assert plan(state, present(856), memory(856), now=10.0) == Plan(state=state)
    assert plan(state, present(856), memory(2056, 2056), now=10.0).target == memory(2056, 2056)
    assert plan(state, present(856), memory(1456), now=REFUSED_SECONDS).target == memory(1456)


def test_a_node_that_can_never_give_it_is_asked_for_no_more_and_may_take_back() -> None:
    full = present(1456, infeasible=True)
    found = plan(Resizing(), full, memory(2056, 2056), now=0.0)
    assert found == Plan(state=Resizing(), refusal="Its node has not so much memory.")
    less = plan(found.state, full, memory(856), now=0.0)
    assert plan(less.state, full, memory(856), now=SHRINK_SECONDS).target == memory(856)
    mended = plan(found.state, present(856), memory(856), now=SHRINK_SECONDS)
    assert mended == Plan(state=Resizing())


def test_the_patch_names_the_container_and_this_very_pod() -> None:
    assert make_resize(memory(1456), pod()) == {
        "metadata": {"uid": "p"},
        "spec": {
            "containers": [
                {
                    "name": "runner",
                    "resources": {"requests": {"memory": "1456Mi"}, "limits": {"memory": "2Gi"}},
                }
            ]
        },
    }


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.floats(0.0, 400.0)), max_size=30))
def test_any_coming_and_going_has_enough_at_once_and_writes_less_than_it_moves(
    moves: list[tuple[int, float]],
) -> None:
    state, now, has = Resizing(), 0.0, memory(856)
    changes = 0
    for sessions, pause in moves:
        wanted = memory(256 + 600 * sessions, 4096)
        found = plan(state, PodMemory(wanted=has), wanted, now=now)
        state = found.state
        if found.target is not None:
            assert found.target != has
            changes += found.target.request < has.request
            has, state = found.target, accepted(found.state)
        assert has.request >= wanted.request
        assert has.limit >= has.request
        now += pause
    assert changes <= now / SHRINK_SECONDS
