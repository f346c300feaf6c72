"""Clicks, choices and forms become decisions: by who may, once, and whatever is killed."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from repobridge.session import events as ev
from repobridge.session.events import Actor, Scope, Verdict
from repobridge_gateway.chat import Interaction
from repobridge_gateway.clickchecks import ClickChecks, NotDecided
from repobridge_gateway.clicks import Asked, Click
from repobridge_gateway.decider import GO_ON
from repobridge_gateway.fleet.status import BridgePhase, BridgeStatus, RunnerLink
from repobridge_gateway.pacer import Priority
from repobridge_gateway.render.custom_id import CustomId, Kind, Verb
from repobridge_gateway.render.pieces import Button, Piece, Row
from repobridge_gateway.session_client import SessionClient
from repobridge_gateway.session_values import Answer, Decision
from repobridge_gateway.verdicts import decision_of, from_json
from tests.fakes.anthropic import FakeAnthropic, Text, ToolUse
from tests.fakes.discord import Answer as Reply
from tests.fakes.discord import Callback, Channel, Discord, Person, Reset, SeenMessage
from tests.fakes.scripted_claude.installed import ScriptedClaude
from tests.live_runner import LiveRunner, live_runner
from tests.session.conftest import make_repository
from tests.session.faulty import scripted_runner
from tests.unit.gateway.stage import UID, Stage, staged

_CALLBACK = "POST /interactions/{interaction_id}/{token}/callback"
NOTHING_HERE = "There is nothing to decide here any more."
RULES = (
    ev.Suggestion("s1", "Bash(make:*)", Scope.SESSION),
    ev.Suggestion("s2", "Bash(make test)", Scope.ALWAYS),
)


@pytest.fixture
async def late_stage(discord: Discord, tmp_path: Path) -> AsyncIterator[Stage]:
    """A stage for which what is said now was said the day before yesterday."""
    async with staged(tmp_path, discord, clock=lambda: time.time() + 48 * 3600) as made:
        yield made


def approval(number: int = 1) -> ev.ApprovalRequested:
    command = f'{{"command": "make test-{number}"}}'
    kind = ev.RequestKind.TOOL
    return ev.ApprovalRequested(f"r{number}", kind, "Bash", command, "", f"sha{number}", RULES)


def plan(number: int) -> ev.ApprovalRequested:
    text = '{"plan": "1. Think"}'
    return ev.ApprovalRequested(f"p{number}", ev.RequestKind.PLAN, "ExitPlanMode", text, "", "sha")


def question(number: int = 1, *, count: int = 1) -> ev.QuestionAsked:
    options = (ev.QuestionOption("Red"), ev.QuestionOption("Blue"))
    asked = [
        ev.Question(f"q{each}", f"Part {each}", "Which?", False, options, True)
        for each in range(count)
    ]
    return ev.QuestionAsked(f"question-{number}", tuple(asked))


async def private(stage: Stage, answer: Reply) -> str:
    """The sentence that only the person reads, after the acknowledgement or as the answer."""
    assert not answer.is_failed
    if answer.kind is Callback.MESSAGE:
        assert answer.is_ephemeral
        return answer.text
    assert answer.kind is Callback.DEFERRED_UPDATE
    await stage.discord.until(lambda: answer.follow_ups)
    (said,) = answer.follow_ups
    assert said.is_ephemeral
    return said.content


async def kept(stage: Stage) -> tuple[Click, Asked]:
    """The one decision that waits to be carried out: its bridge is asleep."""
    await stage.discord.until(lambda: stage.bridge.woken)
    (found,) = await stage.store.clicks.undecided()
    return found


async def woken(stage: Stage, times: int) -> None:
    """Waits until so many decisions wait for the bridge."""
    await stage.discord.until(lambda: stage.bridge.woken == times)


async def planted(stage: Stage, custom_id: str, channel: Channel | None = None) -> SeenMessage:
    """A message with a button that somebody made up."""
    where = channel or stage.channel
    piece = Piece("look", components=(Row((Button("Click", custom_id),)),))
    sent = await stage.bot.rest.send(
        str(where.id), piece, nonce=custom_id[-20:], priority=Priority.NOTICE
    )
    return next(each for each in stage.discord.seen(where) if each.id == int(sent))


def shown(person: Person) -> str:
    """What others see somebody called."""
    return person.name.capitalize()


def by(person: Person) -> Actor:
    return Actor(str(person.id), shown(person), "discord")


# ------------------------------------------------------------------- who may

APPROVING = {"approver", "manager"}
BUTTONS = [
    ("Allow once", APPROVING),
    ("For this session", APPROVING),
    ("Always", {"manager"}),
    ("Deny…", APPROVING),
    ("Approve", APPROVING),
    ("Revise…", APPROVING),
    ("Red", APPROVING),
    ("In my words…", APPROVING),
    ("Skip", APPROVING),
]
FORMS = {"Deny…", "Revise…", "In my words…"}


@pytest.mark.parametrize("who", ["passer_by", "asker", "approver", "manager"])
async def test_each_button_is_for_whom_it_is_for_and_the_others_read_who_may(
    who: str, stage: Stage
) -> None:
    person, decided = stage.people[who], 0
    for number, (label, allowed) in enumerate(BUTTONS):
        request = question(number) if label in {"Red", "In my words…", "Skip"} else approval(number)
        asked = await stage.ask(plan(number) if label in {"Approve", "Revise…"} else request)
        answer = await person.click(asked, label)
        if who not in allowed:
            said = await private(stage, answer)
            assert said.startswith("You may not "), (label, said)
        elif label in FORMS:
            assert answer.kind is Callback.MODAL, label
        else:
            assert answer.kind is Callback.DEFERRED_UPDATE, label
            decided += 1
            await woken(stage, decided)
    assert len(await stage.store.clicks.undecided()) == decided


async def test_a_turn_is_stopped_by_who_asked_for_it_or_by_who_manages(stage: Stage) -> None:
    asker = stage.people["asker"]
    stop = await stage.open_turn(asker.say(stage.channel, "do it"))
    live = await planted(stage, stop)
    said = await private(stage, await stage.people["approver"].click(live, "Click"))
    assert said.startswith("You may not do that")
    for who in ("asker", "manager"):
        # Of a bridge that is asleep nothing runs, and nobody wakes it for that.
        said = await private(stage, await stage.people[who].click(live, "Click"))
        assert said in {"Nothing of that runs any more.", "The-asker was first, and stopped it."}
    assert stage.bridge.woken == 0


@pytest.mark.parametrize(("label", "sentence"), [("Continue", "Continued"), ("Discard", "Discard")])
async def test_a_lost_turn_goes_on_once_or_is_let_be(
    label: str, sentence: str, stage: Stage
) -> None:
    asker, approver = stage.people["asker"], stage.people["approver"]
    lost = await stage.lose_turn(asker.say(stage.channel, "do it"))
    assert lost.labels == ["Continue", "Discard"]
    said = await private(stage, await approver.click(lost, label))
    assert said.startswith("You may not do that")
    answer = await asker.click(lost, label)
    assert answer.kind is Callback.DEFERRED_UPDATE
    text = await stage.settled(lost, lambda each: sentence in each.content)
    assert text.startswith(lost.content)
    found = await stage.store.inbox.find(str(lost.id))
    if label == "Continue":
        assert found is not None
        assert (found.message.content, found.message.author.user_id) == (GO_ON, str(asker.id))
        assert stage.woken == [UID]
    else:
        assert (found, stage.woken) == (None, [])


@pytest.mark.parametrize(("label", "state"), [("Run them", "ready"), ("Leave them", "withdrawn")])
async def test_missed_messages_are_run_or_left_by_who_wrote_them_or_manages(
    label: str, state: str, late_stage: Stage
) -> None:
    stage = late_stage
    asker, manager = stage.people["asker"], stage.people["manager"]
    messages = [await stage.spoken(each, "a while ago") for each in (asker, manager)]
    notice = await stage.miss(messages)
    said = await private(stage, await asker.click(notice, label))
    assert said.startswith("You may not do that")
    await manager.click(notice, label)
    text = await stage.settled(notice, lambda each: "The-manager" in each.content)
    assert text.startswith(notice.content)
    found = [await stage.store.inbox.find(each.message_id) for each in messages]
    assert [each.state.value for each in found if each] == [state] * 2
    assert stage.woken == ([UID] if label == "Run them" else [])
    again = await private(stage, await manager.click(await stage.repeated(notice), label))
    assert again == "Somebody has decided on these messages before."


# ------------------------------------------------------------- what is kept


async def test_a_click_is_kept_with_the_rule_that_was_shown(stage: Stage) -> None:
    manager = stage.people["manager"]
    await manager.click(await stage.ask(approval()), "Always")
    click, asked = await kept(stage)
    assert decision_of(click, asked) == Decision(
        request_id="r1",
        verdict=Verdict.ALLOW,
        scope=Scope.ALWAYS,
        suggestion_id="s2",
        actor=by(manager),
        input_sha256="sha1",
    )


async def test_a_reason_is_asked_for_and_its_roles_are_looked_at_again(stage: Stage) -> None:
    approver = stage.people["approver"]
    asked = await stage.ask(approval())
    first, second = await approver.click(asked, "Deny…"), await approver.click(asked, "Deny…")
    assert first.modal is not None
    (field,) = first.modal.inputs
    roles, approver.member.role_ids = approver.member.role_ids, []
    said = await private(stage, await approver.submit(first, {field.custom_id: "not today"}))
    assert said.startswith("You may not decide that")
    approver.member.role_ids = roles
    await approver.submit(second, {field.custom_id: "not today"})
    click, row = await kept(stage)
    decision = decision_of(click, row)
    assert (decision.verdict, decision.reason) == (Verdict.DENY, "not today")


async def test_of_two_at_once_one_decides_and_the_other_reads_who(stage: Stage) -> None:
    asked = await stage.ask(approval())
    people = [stage.people["approver"], stage.people["manager"]]
    answers = await asyncio.gather(*(each.click(asked, "Allow once") for each in people))
    click, _ = await kept(stage)
    (loser,) = [
        answer
        for person, answer in zip(people, answers, strict=True)
        if str(person.id) != click.person.user_id
    ]
    winner = click.person.display_name
    assert await private(stage, loser) == f"{winner} was first, and allowed it once."
    again = await next(each for each in people if shown(each) == winner).click(asked, "Allow once")
    assert await private(stage, again) == "You allowed it once before; it is under way."


async def test_a_click_that_missed_its_three_seconds_decides_all_the_same(stage: Stage) -> None:
    asked = await stage.ask(approval())
    stage.discord.faults.on(_CALLBACK, Reset(acts=False))
    answer = await stage.people["approver"].click(asked, "Allow once")
    assert answer.is_failed
    click, _ = await kept(stage)
    assert from_json(click.verdict).verb is Verb.ONCE


async def test_several_questions_are_answered_one_by_one_across_a_restart(stage: Stage) -> None:
    approver, manager = stage.people["approver"], stage.people["manager"]
    request = question(count=3)
    asked = await stage.ask(request)
    await approver.select(asked, asked.selects[0].custom_id, ["1"])
    shown = await stage.discord.until_seen(stage.channel, lambda each: len(each.selects) == 2)
    late = await manager.select(asked, shown.selects[0].custom_id, ["0"])
    assert late.kind is Callback.DEFERRED_UPDATE
    await stage.discord.until_seen(stage.channel, lambda each: len(each.selects) == 1)

    await stage.restart()
    stage.decisions.asked(UID, request)  # as the courier reads it again
    form = await approver.click(asked, "In my words for 3…")
    assert form.modal is not None
    await approver.submit(form, {form.modal.inputs[0].custom_id: "green"})
    click, row = await kept(stage)
    assert decision_of(click, row) == Decision(
        request_id="question-1",
        verdict=Verdict.ANSWER,
        answers=(Answer("q0", ("Blue",)), Answer("q1", ("Red",)), Answer("q2", other="green")),
        actor=by(approver),
    )


async def test_a_question_that_somebody_answered_stays_answered(stage: Stage) -> None:
    approver, manager = stage.people["approver"], stage.people["manager"]
    asked = await stage.ask(question(count=2))
    first = asked.selects[0].custom_id
    answers = await asyncio.gather(
        approver.select(asked, first, ["0"]), manager.select(asked, first, ["1"])
    )
    await stage.discord.until(lambda: any(answer.follow_ups for answer in answers))
    (said,) = [each.content for answer in answers for each in answer.follow_ups]
    assert said == "Somebody has answered that question before you."


# ---------------------------------------------------- forged, foreign, over


@pytest.mark.parametrize(
    "custom_id",
    [
        "nothing of ours",
        "rb1:approval:01ARZ3NDEKTSV4RRFFQ69G5FAV:once",
        "rb1:approval:01ARZ3NDEKTSV4RRFFQ69G5FAV:deny",
        "rb1:approval:{key}:text",
        "rb1:approval:{key}:once.1",
        "rb1:approval:{key}:approve",
        "rb1:plan:{key}:approve",
        "rb1:turn:{key}:stop",
        "rb1:question:{key}:choose.0.0",
        "rb1:approval:{key}:once",
    ],
)
async def test_a_name_that_somebody_made_up_decides_nothing(custom_id: str, stage: Stage) -> None:
    await stage.ask(approval())
    key = (await stage.open_row()).ulid
    forged = await planted(stage, custom_id.format(key=key))
    said = await private(stage, await stage.people["manager"].click(forged, "Click"))
    assert said == NOTHING_HERE
    assert await stage.store.clicks.undecided() == []


async def test_of_all_names_with_the_right_key_only_those_of_its_own_buttons_are_checked_further(
    stage: Stage,
) -> None:
    asked = await stage.ask(approval())
    row = await stage.open_row()
    await stage.people["manager"].click(await planted(stage, "any"), "Click")
    heard_of = await stage.bot.next(Interaction)
    at_home = replace(heard_of, message_id=str(asked.id))
    checks = ClickChecks(store=stage.store, channels=stage.channels)
    taken = set[tuple[Asked, Kind, Verb]]()
    for kind, verb in itertools.product(Kind, Verb):
        with contextlib.suppress(NotDecided):
            found, _ = await checks.checked(at_home, CustomId(kind, row.ulid, verb))
            taken.add((found, kind, verb))
    # That a verb is one of its kind, its name has shown before.
    assert taken == {(row, Kind.APPROVAL, verb) for verb in Verb}


async def test_a_click_on_what_was_not_asked_yet_leaves_the_decision_to_others(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = stage.store.clicks.asked
    asked = await stage.ask(approval())

    async def a_moment_ago(ulid: str) -> Asked | None:
        return None

    monkeypatch.setattr(stage.store.clicks, "asked", a_moment_ago)
    said = await private(stage, await stage.people["passer_by"].click(asked, "Allow once"))
    assert said == NOTHING_HERE
    monkeypatch.setattr(stage.store.clicks, "asked", read)
    await stage.people["approver"].click(asked, "Allow once")
    click, _ = await kept(stage)
    assert click.person.user_id == str(stage.people["approver"].id)


async def test_a_request_can_only_be_decided_where_it_was_asked(stage: Stage) -> None:
    await stage.ask(approval())
    elsewhere = stage.discord.add_channel(stage.guild, "elsewhere")
    key = (await stage.open_row()).ulid
    forged = await planted(stage, f"rb1:approval:{key}:once", elsewhere)
    said = await private(stage, await stage.people["manager"].click(forged, "Click"))
    assert said == NOTHING_HERE
    assert await stage.store.clicks.undecided() == []


async def test_what_is_over_can_not_be_decided_and_its_message_says_how_it_ended(
    stage: Stage,
) -> None:
    approver = stage.people["approver"]
    asked = await stage.ask(approval())
    in_terminal = ev.RequestResolved("r1", ev.RequestOutcome.ALLOWED, ev.Via.TERMINAL)
    await stage.resolve(in_terminal, is_heard=False)
    said = await private(stage, await approver.click(asked, "Allow once"))
    assert said.startswith("That is over")
    form = await approver.click(asked, "Deny…")
    assert (await private(stage, form)).startswith("That is over")
    stage.decisions.resolved(UID, in_terminal, at=0.0)
    text = await stage.settled(asked, lambda each: "in the live terminal" in each.content)
    assert text.startswith("✓ Allowed in the live terminal")


async def test_a_restarted_gateway_takes_away_buttons_of_whose_end_it_knows_nothing(
    stage: Stage,
) -> None:
    asked = await stage.ask(approval())
    await stage.resolve(
        ev.RequestResolved("r1", ev.RequestOutcome.EXPIRED, ev.Via.POLICY), is_heard=False
    )
    await stage.restart()
    text = await stage.settled(asked, lambda each: True)
    assert text == f"– No longer asked\n{asked.content}"


# -------------------------------------------------------- with a real runner


@pytest.fixture
async def runner(tmp_path: Path) -> AsyncIterator[LiveRunner]:
    async with scripted_runner(tmp_path, ScriptedClaude(tmp_path / "agent")) as live:
        yield live


def is_question(message: SeenMessage) -> bool:
    return "Allow once" in message.labels


async def test_a_click_lets_the_agent_go_on_and_the_message_says_who(
    stage: Stage, runner: LiveRunner
) -> None:
    stage.begin(asyncio.create_task(stage.desk().run()))
    async with stage.bridge.joined(runner):
        await runner.submit("%ask touch allowed\n%ask touch denied")
        asked = await stage.discord.until_seen(stage.channel, is_question)
        await stage.people["approver"].click(asked, "Allow once")
        text = await stage.settled(asked, lambda each: "Allowed" in each.content)
        assert text.startswith("✓ Allowed once by The-approver")
        second = await stage.discord.until_seen(stage.channel, is_question)
        form = await stage.people["manager"].click(second, "Deny…")
        assert form.modal is not None
        await stage.people["manager"].submit(form, {form.modal.inputs[0].custom_id: "no"})
        text = await stage.settled(second, lambda each: "Not allowed" in each.content)
        assert text.startswith("⊘ Not allowed by The-manager")
        assert (await runner.ended("m1")).outcome is ev.TurnOutcome.COMPLETED
    made = {path.name for path in runner.settings.directory.iterdir()}
    assert made & {"allowed", "denied"} == {"allowed"}


async def test_a_decision_that_a_killed_gateway_left_is_carried_out_by_the_next(
    stage: Stage, runner: LiveRunner
) -> None:
    stage.begin(asyncio.create_task(stage.desk().run()))
    async with stage.bridge.joined(runner):
        await runner.submit("%ask touch allowed")
        asked = await stage.discord.until_seen(stage.channel, is_question)
    await stage.people["approver"].click(asked, "Allow once")
    click, _ = await kept(stage)
    assert from_json(click.verdict).verb is Verb.ONCE
    await stage.restart()
    stage.begin(asyncio.create_task(stage.desk().run()))
    async with stage.bridge.joined(runner):
        resolved = await runner.resolved((await runner.approval()).request_id)
        assert resolved.by == by(stage.people["approver"])
        assert (await runner.ended("m1")).outcome is ev.TurnOutcome.COMPLETED
        await stage.settled(asked, lambda each: "Allowed once by The-approver" in each.content)
    assert await stage.store.clicks.undecided() == []


async def test_stop_ends_the_turn_and_with_it_what_it_asked(
    stage: Stage, runner: LiveRunner
) -> None:
    stage.begin(asyncio.create_task(stage.desk().run()))
    async with stage.bridge.joined(runner):
        await runner.submit("%ask touch never")
        asked = await stage.discord.until_seen(stage.channel, is_question)
        live = await stage.discord.until_seen(stage.channel, lambda each: each.labels == ["Stop"])
        await stage.people["manager"].click(live, "Stop")
        assert (await runner.ended("m1")).outcome is ev.TurnOutcome.INTERRUPTED
        text = await stage.settled(asked, lambda each: "No longer asked" in each.content)
        assert "touch never" in text
        await stage.settled(live, lambda each: "Stopped" in each.content)


async def test_a_runner_that_does_not_answer_is_asked_again_and_who_clicked_knows(
    stage: Stage, runner: LiveRunner
) -> None:
    desk = asyncio.create_task(stage.desk().run())
    stage.begin(desk)
    async with stage.bridge.joined(runner):
        await runner.submit("%ask touch allowed")
        asked = await stage.discord.until_seen(stage.channel, is_question)
        async with grpc.aio.insecure_channel(f"unix:{runner.settings.socket}.gone") as nowhere:
            link = RunnerLink(SessionClient(nowhere), nowhere)
            stage.bridge.status.set(BridgeStatus(BridgePhase.READY, link=link))
            said = await private(stage, await stage.people["manager"].click(asked, "Allow once"))
            assert said == "The agent can't be reached right now; your choice is kept for it."
            async with stage.bridge.joined(runner):
                await stage.settled(asked, lambda each: "by The-manager" in each.content)
                assert (await runner.ended("m1")).outcome is ev.TurnOutcome.COMPLETED
    assert await stage.store.clicks.undecided() == []


async def test_the_answers_to_a_real_agents_questions_reach_its_model(
    stage: Stage, tmp_path: Path, claude_path: Path, anthropic_api: FakeAnthropic
) -> None:
    def one(text: str, *labels: str) -> dict[str, object]:
        options = [{"label": label, "description": ""} for label in labels]
        return {"question": text, "header": text[:9], "options": options, "multiSelect": False}

    questions = [one("Which colour?", "Red", "Blue"), one("Which size?", "Small", "Large")]
    anthropic_api.script(ToolUse("AskUserQuestion", {"questions": questions}), Text("thanks"))
    directory = tmp_path / "work"
    make_repository(directory)
    stage.begin(asyncio.create_task(stage.desk().run()))
    approver = stage.people["approver"]
    async with (
        live_runner(directory, tmp_path / "home", claude=claude_path, api=anthropic_api) as live,
        stage.bridge.joined(live),
    ):
        await live.submit("go")
        asked = await stage.discord.until_seen(stage.channel, lambda each: len(each.selects) == 2)
        await approver.select(asked, asked.selects[0].custom_id, ["1"])
        await stage.discord.until_seen(stage.channel, lambda each: len(each.selects) == 1)
        form = await approver.click(asked, "In my words for 2…")
        assert form.modal is not None
        await approver.submit(form, {form.modal.inputs[0].custom_id: "enormous"})
        text = await stage.settled(asked, lambda each: "Answered by" in each.content)
        assert ("**Blue**" in text, "**enormous**" in text) == (True, True)
        assert (await live.ended("m1")).final_markdown == "thanks"
    [result] = anthropic_api.requests[-1].tool_results
    assert ("Blue" in result.text, "enormous" in result.text) == (True, True)


async def test_a_turn_that_a_crash_has_cut_is_offered_and_goes_on_as_who_wants_it(
    stage: Stage, tmp_path: Path
) -> None:
    scripted = ScriptedClaude(tmp_path / "agent", forget_cut=True)
    manager, desk = stage.people["manager"], stage.desk()
    stage.begin(asyncio.create_task(desk.run()))
    async with (
        scripted_runner(tmp_path, scripted, confirm_seconds=4.0) as runner,
        stage.bridge.joined(runner),
    ):
        assert (await runner.turn("%die")).outcome is ev.TurnOutcome.LOST
        lost = await stage.discord.until_seen(
            stage.channel, lambda each: each.labels == ["Continue", "Discard"]
        )
        await manager.click(lost, "Continue")
        await stage.settled(lost, lambda each: "Continued by The-manager" in each.content)
        desk.handover.look()
        assert (await runner.ended(str(lost.id))).outcome is ev.TurnOutcome.COMPLETED
    [opened] = [each for each in runner.of(ev.TurnOpened) if each.message_id == str(lost.id)]
    assert opened.actor == by(manager)
    assert scripted.executed()[-1].endswith(GO_ON)
