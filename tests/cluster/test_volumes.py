"""A workspace that fills up on a real node, has room again, and grows while its pod goes on."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from tests.cluster.people import AGENT, PATIENCE_SECONDS, Person, said
from tests.fakes.anthropic import FakeAnthropic, Text, bash

pytestmark = pytest.mark.timeout(900)  # the first build of the images takes minutes
_NAME, _POD, _CLAIM = "crowded", "rb-crowded-0", "rb-crowded-workspace-0"
_FILLER = "/workspace/checkout/filler"
_FILL = f"dd if=/dev/zero of={_FILLER} bs=64K 2>&1 | grep -o 'No space left on device'"
_FULL = re.compile(r"^The volume is \d+% full; free some space and try again\.$", re.M)
_ADVICE = (
    "The workspace's volume is full. Raise workspace.size, where its storage class can grow"
    f" volumes, or remove files: `kubectl exec -it {_POD} -- sh`."
)


async def test_a_full_workspace_takes_nothing_in_and_loses_nothing_until_there_is_room_again(
    person: Person, model: FakeAnthropic
) -> None:
    await _apply(person, "96Mi")
    await _answered(person, "my number is 17")
    # The agent itself takes the last of it, and its turn ends all the same.
    model.script(bash(_FILL), Text("it is full"))
    assert await _answered(person, "fill it") == "it is full\n"
    assert [each.text for each in model.requests[-1].tool_results] == ["No space left on device"]
    await _refused(person, "are you there?")
    ready = _condition(await _until(person, "Failed"), "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "WorkspaceFull")
    assert ready["message"] == _ADVICE
    row = (await person.kubectl("get", "rb", _NAME)).splitlines()[1]
    assert row.split()[:3] == [_NAME, "Failed", "WorkspaceFull"]
    assert f"WorkspaceFull: {_ADVICE}\n" in await _refused(person, "are you there?")

    uid = await _pod_uid(person)
    await _in_pod(person, f"rm {_FILLER}")
    await _answered(person, "what was it?")
    await _until(person, "Ready")
    assert await _pod_uid(person) == uid
    slept = await person.bridge("sleep", _NAME, "--wait")
    assert slept.code == 0, slept.err
    await _answered(person, "and now?")
    assert said(model) == ["my number is 17", "fill it", "what was it?", "and now?"]

    uid = await _pod_uid(person)
    await _in_pod(person, _FILL)
    await _refused(person, "is there room?")
    await _apply(person, "192Mi")
    await _grown(person, "192Mi")
    await _answered(person, "is there more?")
    await _until(person, "Ready")
    assert await _pod_uid(person) == uid
    assert said(model)[-2:] == ["and now?", "is there more?"]


async def _apply(person: Person, size: str) -> None:
    agent = {**AGENT, "allowedTools": ["Bash"]}
    workspace = {"size": size, "storageClassName": "sized"}
    await person.product.apply(_NAME, agent=agent, workspace=workspace)


async def _until(person: Person, phase: str) -> dict[str, Any]:
    return await person.product.until(_NAME, phase, seconds=PATIENCE_SECONDS)


async def _answered(person: Person, text: str) -> str:
    ran = await person.bridge("chat", _NAME, "-m", text)
    assert ran.code == 0, ran.err
    return ran.out


async def _refused(person: Person, text: str) -> str:
    """What a person is told whose message is not taken."""
    ran = await person.bridge("chat", _NAME, "-m", text)
    assert (ran.code, ran.out, len(_FULL.findall(ran.err))) == (2, "", 1), ran
    return ran.err


async def _in_pod(person: Person, script: str) -> str:
    return await person.kubectl("exec", _POD, "--", "sh", "-c", script)


async def _pod_uid(person: Person) -> str:
    return str((await person.get("pod", _POD))["metadata"]["uid"])


def _condition(bridge: dict[str, Any], kind: str) -> dict[str, Any]:
    found = {each["type"]: each for each in bridge["status"]["conditions"]}
    return dict(found[kind])


async def _grown(person: Person, size: str) -> None:
    """Waits until the claim has a volume of this size, and the bridge says nothing more of it."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            claim, bridge = await person.get("pvc", _CLAIM), await person.get("rb", _NAME)
            is_grown = claim["status"]["capacity"]["storage"] == size
            if is_grown and _condition(bridge, "UpdatePending")["reason"] == "UpToDate":
                return
            await asyncio.sleep(0.2)
