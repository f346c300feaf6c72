"""What is killed or changed under a bridge on a real node: no turn is cut, no session lost."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from repobridge_operator.sleep import LEASE_SECONDS
from tests.cluster.people import (
    AGENT,
    PATIENCE_SECONDS,
    WORKSPACE,
    Person,
    held_turn,
    said,
    was_told,
)
from tests.cluster.processes import first_process
from tests.cluster.product import SYSTEM, Product
from tests.fakes.anthropic import FakeAnthropic, Gate, bash
from tests.live_serve import finished

pytestmark = pytest.mark.timeout(900)  # the first build of the images takes minutes
_GREED = "python3 -c 'b\".\" * (1 << 31)'"
_OPERATOR = f"system:serviceaccount:{SYSTEM}:repobridge-operator"
_RIGHTS = ("role", "repobridge-operator")


async def test_a_runner_that_the_kernel_kills_for_its_memory_is_named_and_replaced(
    person: Person, model: FakeAnthropic
) -> None:
    # With all that it asks for as its limit, nothing in the pod has points beside its size: so the
    # runner, with all points that there are, is killed alone or with the others, never spared.
    amounts = {"cpu": "1", "memory": "700Mi"}
    agent = {**AGENT, "allowedTools": ["Bash(python3:*)"]}
    resources = {"requests": amounts, "limits": amounts}
    await person.product.apply("hungry", agent=agent, workspace=WORKSPACE, resources=resources)
    await _ask(person, "hungry", "my number is 17")
    uid = await _pod_uid(person, "hungry")
    cluster, namespace = person.product.cluster, person.product.namespace
    runner = await first_process(cluster, "rb-hungry-0", namespace=namespace)
    Path(f"/proc/{runner}/oom_score_adj").write_text("1000")
    model.script(bash(_GREED))
    killed = asyncio.create_task(_not_ready_for(person, "hungry", "OutOfMemory"))
    ran = await person.bridge("chat", "hungry", "-m", "eat")
    # The turn goes on in the next pod, or is told to be lost.
    assert ran.code == 0 or (ran.code, "lost:" in ran.err) == (1, True), ran
    sentence = await killed
    assert "The kernel ended the runner, which had used its memory of 700Mi." in sentence
    events = (await person.get("events.events.k8s.io"))["items"]
    told = [(one["regarding"]["name"], one["note"]) for one in events]
    assert ("hungry", sentence) in told
    await _ask(person, "hungry", "what was it?")
    assert was_told(model, "my number is 17", "eat", "what was it?")
    assert await _pod_uid(person, "hungry") != uid


async def test_an_operator_that_is_killed_between_a_drain_and_the_sleep_leaves_no_runner_deaf(
    person: Person, model: FakeAnthropic
) -> None:
    product = person.product
    await product.apply("deaf", agent=AGENT, workspace=WORKSPACE)
    (counting, gate), _ = await asyncio.gather(
        held_turn(person, model, "busy"), _ask(person, "deaf", "my number is 17")
    )
    uid = await _pod_uid(person, "deaf")
    assert (await person.bridge("sleep", "busy")).code == 0
    await product.until("busy", "Draining", seconds=PATIENCE_SECONDS)
    async with AsyncExitStack() as without_operator:
        async with _without_lowering(product):
            soon = {"idleTimeout": "1s"}
            await product.apply("deaf", agent=AGENT, workspace=WORKSPACE, scaling=soon)
            drained_after = await _kill_operator_once_drained(product, "deaf")
            # None that the kubelet starts in its place gets any further either.
            await without_operator.enter_async_context(product.without_operator())
        assert (await person.get("rb", "deaf"))["spec"]["replicas"] == 1
        # The runner hears again once its lease is over, and the turn of the other goes on.
        await asyncio.gather(
            _ask(person, "deaf", "what was it?"), _ends_well(person, gate, counting)
        )
        assert datetime.now(UTC) - drained_after >= timedelta(seconds=LEASE_SECONDS)
        assert await _pod_uid(person, "deaf") == uid
        assert said(model) == ["my number is 17", "what was it?"]
        asked = sorted(each.last_user_text.splitlines()[-1] for each in model.requests)
        assert asked == ["count the birds", "my number is 17", "what was it?"]
    # The next operator finishes what it finds.
    await product.until("deaf", "Asleep", seconds=PATIENCE_SECONDS)


async def test_a_workspace_goes_or_stays_by_the_last_wish_also_when_that_came_in_its_sleep(
    person: Person, model: FakeAnthropic
) -> None:
    await asyncio.gather(_stays_in_the_end(person, model), _goes_in_the_end(person))


async def _stays_in_the_end(person: Person, model: FakeAnthropic) -> None:
    await _wish(person, "kept", "Delete")
    await _ask(person, "kept", "my number is 17")
    await _sleep(person, "kept")
    await _wish(person, "kept", "Retain")
    await _wish(person, "kept", "Delete")
    await _ask(person, "kept", "what was it?")
    assert was_told(model, "my number is 17", "what was it?")
    await _sleep(person, "kept")
    await _wish(person, "kept", "Retain")
    await person.kubectl("delete", "rb", "kept", "--timeout=60s")
    # What it owned goes: the garbage collector was there.
    await person.until_gone("secret/rb-kept-tls")
    claim = await person.get("pvc", "rb-kept-workspace-0")
    assert (claim["status"]["phase"], "deletionTimestamp" in claim["metadata"]) == ("Bound", False)


async def _goes_in_the_end(person: Person) -> None:
    await _wish(person, "gone", "Retain")
    assert (await person.bridge("wake", "gone")).code == 0
    logs = await person.bridge("logs", "gone")
    assert (logs.code, '"msg": "runner serving"' in logs.out) == (0, True), logs
    await _sleep(person, "gone")
    await _wish(person, "gone", "Delete")
    await person.kubectl("delete", "rb", "gone", "--timeout=60s")
    await person.until_gone("pvc/rb-gone-workspace-0")


async def _wish(person: Person, name: str, reclaim: str) -> None:
    """Says what is to become of a workspace, and waits until its claim is owned accordingly."""
    await person.product.apply(name, agent=AGENT, workspace={**WORKSPACE, "reclaim": reclaim})
    wanted = [name] if reclaim == "Delete" else []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await _owners(person, name) != wanted:
            await asyncio.sleep(0.1)


async def _owners(person: Person, name: str) -> list[str] | None:
    """Whose the claim of a workspace is; None while there is no claim."""
    for each in (await person.get("pvc"))["items"]:
        if each["metadata"]["name"] == f"rb-{name}-workspace-0":
            return [owner["name"] for owner in each["metadata"].get("ownerReferences", ())]
    return None


async def _ask(person: Person, name: str, text: str) -> None:
    ran = await person.bridge("chat", name, "-m", text)
    assert ran.code == 0, ran.err


async def _sleep(person: Person, name: str) -> None:
    ran = await person.bridge("sleep", name, "--wait")
    assert ran.code == 0, ran.err


async def _pod_uid(person: Person, name: str) -> str:
    return str((await person.get("pod", f"rb-{name}-0"))["metadata"]["uid"])


async def _not_ready_for(person: Person, name: str, reason: str) -> str:
    """The sentence that is told with a reason, however briefly that stands there."""
    ready = "{.status.conditions[?(@.type=='Ready')].reason}"
    patience = f"--timeout={PATIENCE_SECONDS - 10:.0f}s"
    wanted = (f"rb/{name}", f"--for=jsonpath={ready}={reason}", patience, "-o", "json")
    told = json.loads(await person.kubectl("wait", *wanted))["status"]["conditions"]
    return next(str(one["message"]) for one in told if one["type"] == "Ready")


async def _ends_well(person: Person, gate: Gate, counting: asyncio.subprocess.Process) -> None:
    """A turn, and then its bridge, for whose deletion no operator is needed."""
    await gate.open()
    ran = await finished(counting, seconds=PATIENCE_SECONDS)
    assert (ran.code, ran.out) == (0, "one two\n"), ran.err
    await person.kubectl("delete", "rb", "busy", "--timeout=60s")
    await person.until_gone("pod/rb-busy-0")
    assert (await person.get("pvc", "rb-busy-workspace-0"))["status"]["phase"] == "Bound"


@asynccontextmanager
async def _without_lowering(product: Product) -> AsyncIterator[None]:
    """The operator may not lower a wish: on the way to sleep it comes to the drain, no further."""
    rules = json.loads(await product.kubectl("get", *_RIGHTS, "-o", "json"))["rules"]
    fewer = [
        {**rule, "resources": [one for one in rule["resources"] if one != "repobridges/scale"]}
        for rule in rules
    ]
    await _give_rights(product, [rule for rule in fewer if rule["resources"]])
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await _may_lower(product):
                await asyncio.sleep(0.1)
        yield
    finally:
        await _give_rights(product, rules)


async def _give_rights(product: Product, rules: list[Any]) -> None:
    await product.kubectl("patch", *_RIGHTS, "--type=merge", "-p", json.dumps({"rules": rules}))


async def _may_lower(product: Product) -> bool:
    """Whether the API server lets the operator scale bridges by now."""
    scaling = {
        "namespace": product.namespace,
        "group": "repobridge.dev",
        "resource": "repobridges",
        "subresource": "scale",
        "verb": "patch",
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": _OPERATOR, "resourceAttributes": scaling},
    }
    asked = ("create", "--filename=-", "-o", "json")
    answer = json.loads(await product.cluster.kubectl(*asked, stdin=json.dumps(review)))
    return bool(answer["status"]["allowed"])


async def _kill_operator_once_drained(product: Product, name: str) -> datetime:
    """Kills the operator when a runner has agreed to sleep; a moment just before that.

    It stands still while we look again: it dies just there, however slow the machine is.
    """
    process = await product.operator_process()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            if await _drained_after(product, name):
                os.kill(process, signal.SIGSTOP)
                if found := await _drained_after(product, name):
                    os.kill(process, signal.SIGKILL)
                    return found
                os.kill(process, signal.SIGCONT)
            await asyncio.sleep(0.1)


async def _drained_after(product: Product, name: str) -> datetime | None:
    """When the step before the drain was done, if the runner's consent is the last one so far."""
    lines = [json.loads(line) for line in (await product.log()).splitlines()]
    of_bridge = [line for line in lines if line.get("bridge") == f"{product.namespace}/{name}"]
    steps = [line for line in of_bridge if line["msg"] == "on the way to sleep"]
    if [step["phase"] for step in steps[-2:]] != ["FoundIdle", "Agreed"]:
        return None
    return datetime.fromisoformat(steps[-2]["time"])
