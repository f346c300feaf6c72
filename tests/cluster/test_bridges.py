"""Bridges on a real node, from `kubectl apply` to the real CLI's answer and back to zero."""

from __future__ import annotations

import pytest

from tests.cluster.people import AGENT, PATIENCE_SECONDS, WORKSPACE, Person, held_turn, said
from tests.fakes.anthropic import FakeAnthropic, Text
from tests.live_serve import finished, live_terminal

pytestmark = pytest.mark.timeout(900)  # the first build of the images takes minutes


async def test_from_apply_to_an_answer_to_zero_and_back_with_its_memory(
    person: Person, model: FakeAnthropic
) -> None:
    await person.product.apply(
        "payments", agent=AGENT, workspace=WORKSPACE, scaling={"idleTimeout": "5s"}
    )
    model.script(Text("noted"))
    first = await person.bridge("chat", "payments", "-m", "my number is 17")
    assert (first.code, first.out) == (0, "noted\n"), first.err
    assert "payments is awake." in first.err
    shown = await person.kubectl("get", "rb", "payments")
    assert shown.split()[:4] == ["NAME", "PHASE", "READY", "SESSIONS"]
    # Nobody asks anything: it goes to sleep by itself, and its pod goes.
    await person.product.until("payments", "Asleep")
    await person.until_gone("pod/rb-payments-0")
    again = await person.bridge("chat", "payments", "-m", "what was it?")
    assert again.code == 0, again.err
    assert said(model) == ["my number is 17", "what was it?"]


async def test_a_pod_that_is_deleted_in_mid_turn_is_replaced_and_the_turn_accounted_for(
    person: Person, model: FakeAnthropic
) -> None:
    asking, gate = await held_turn(person, model, "deleted")
    await person.kubectl("delete", "pod", "rb-deleted-0", "--wait=false")
    await gate.open()
    ran = await finished(asking, seconds=PATIENCE_SECONDS)
    # It goes on, or it is told to be lost; never is it silently dropped.
    assert (ran.code, ran.out) == (0, "one two\n") or (ran.code, "lost:" in ran.err) == (
        1,
        True,
    ), ran
    after = await person.bridge("chat", "deleted", "-m", "and then?")
    assert after.code == 0, after.err


async def test_a_wish_for_sleep_waits_for_the_turn_and_the_next_message_is_answered(
    person: Person, model: FakeAnthropic
) -> None:
    asking, gate = await held_turn(person, model, "tired")
    assert (await person.bridge("sleep", "tired")).code == 0
    await person.product.until("tired", "Draining")
    await gate.open()
    ran = await finished(asking, seconds=PATIENCE_SECONDS)
    assert (ran.code, ran.out) == (0, "one two\n"), ran.err
    after = await person.bridge("chat", "tired", "-m", "are you there?")
    assert after.code == 0, after.err


async def test_a_wake_in_the_middle_of_a_sleep_keeps_the_pod(
    person: Person, model: FakeAnthropic
) -> None:
    asking, gate = await held_turn(person, model, "undecided")
    uid = (await person.get("pod", "rb-undecided-0"))["metadata"]["uid"]
    assert (await person.bridge("sleep", "undecided")).code == 0
    await person.product.until("undecided", "Draining")
    await person.product.scale("undecided", 1)
    await person.product.until("undecided", "Ready")
    await gate.open()
    ran = await finished(asking, seconds=PATIENCE_SECONDS)
    assert (ran.code, ran.out) == (0, "one two\n"), ran.err
    assert (await person.bridge("chat", "undecided", "-m", "and now?")).code == 0
    assert (await person.get("pod", "rb-undecided-0"))["metadata"]["uid"] == uid


async def test_a_kubelet_that_is_killed_and_started_again_cuts_no_session(person: Person) -> None:
    cluster = person.product.cluster
    await person.product.apply("rooted", agent=AGENT, workspace=WORKSPACE)
    assert (await person.bridge("chat", "rooted", "-m", "one")).code == 0
    uid = (await person.get("pod", "rb-rooted-0"))["metadata"]["uid"]
    await cluster.stop("kubelet", signal="SIGKILL")
    await cluster.start("kubelet")
    again = await person.bridge("chat", "rooted", "-m", "two")
    assert again.code == 0, again.err
    assert (await person.get("pod", "rb-rooted-0"))["metadata"]["uid"] == uid


async def test_a_person_attaches_to_the_live_terminal_in_the_pod(
    person: Person, model: FakeAnthropic
) -> None:
    model.script(Text("from the pod"))
    await person.product.apply("seen", agent=AGENT, workspace=WORKSPACE)
    await person.bridge("wake", "seen")
    where = f"--namespace={person.product.namespace}"
    async with live_terminal(person.environment, "attach", "seen", where) as terminal:
        await terminal.has_on_screen("❯")
        terminal.type("hello")
        await terminal.has_on_screen("hello")
        terminal.type("\r")
        await terminal.has_on_screen("from the pod")
        # The CLI looks whether it is installed in its usual place, and says so where people type.
        assert "missing or broken" not in terminal.text
        terminal.type("\x1c")
        assert await terminal.ended() == 0


async def test_a_missing_secret_is_named_and_mended_without_a_restart(
    person: Person, model: FakeAnthropic
) -> None:
    later = {"credentialsSecretRef": {"name": "later"}}
    await person.product.apply("keyless", agent=later, workspace=WORKSPACE)
    failed = await person.bridge("wake", "keyless")
    assert failed.code == 1
    assert "SecretMissing" in failed.err
    await person.give_key("later", model)
    await person.product.until("keyless", "Ready", seconds=PATIENCE_SECONDS)
    answered = await person.bridge("chat", "keyless", "-m", "hello")
    assert answered.code == 0, answered.err
