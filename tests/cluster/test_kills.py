"""What a real node takes from a bridge, its memory or its retention: no session is lost by it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.cluster.people import AGENT, PATIENCE_SECONDS, WORKSPACE, Person, was_told
from tests.cluster.processes import first_process
from tests.fakes.anthropic import FakeAnthropic, bash

pytestmark = pytest.mark.timeout(900)  # the first build of the images takes minutes
_GREED = "python3 -c 'b\".\" * (1 << 31)'"


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
