"""Whatever happens in between, a pod is deleted only when nothing is lost by it, and in the end."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from repobridge.idle import Activity, Drained, IdlePolicy
from repobridge.session.events import BusyReason
from repobridge_operator.sleep import (
    INTERRUPT_SECONDS,
    LEASE_SECONDS,
    Sleep,
    answered,
    begun,
    next_action,
    observed,
    permission,
)
from repobridge_operator.sleep_values import (
    Action,
    Answer,
    Ask,
    Drain,
    Facts,
    Ground,
    Interrupt,
    Interrupted,
    Lower,
    Lowering,
    Now,
    Resume,
    Resumed,
    Unreached,
    Wait,
    Want,
)

EPOCH = 1_000_000.0
DRAIN_TIMEOUT = 60.0
IDLE_SECONDS = 30.0


@dataclass
class ModelRunner:
    """What a runner promises: one drain at a time, which expires; turns, which may not end."""

    is_reachable: bool = True
    is_stuck: bool = False
    """It does not heed an interrupt."""
    turn: bool = False
    held_until: float = 0.0
    is_granted: bool = False
    last_activity: float = 0.0
    cut_at: float | None = None

    def drain(self, now: float, *, after_turn: bool) -> Drained:
        if self.turn and not after_turn:
            return Drained(is_granted=False)
        self.held_until, self.is_granted = now + LEASE_SECONDS, not self.turn
        return Drained(is_granted=not self.turn, is_held=True)

    def agrees(self, now: float) -> bool:
        return self.is_granted and now < self.held_until and not self.turn


class SleepMachine(RuleBasedStateMachine):
    """One bridge, its runner, its operator and those who change their mind."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self.runner = ModelRunner()
        self.wish = True
        self.outdated = False
        self.generation = 1
        self.asleep_since: float | None = None
        self.written_since: float | None = None
        self.facts = self.truth()
        self.sleep = observed(Sleep(), self.facts, before=None, now=self.now)
        self.pending: tuple[Action, Answer, float] | None = None
        self.deleted = 0

    @property
    def now(self) -> Now:
        return Now(self.seconds, EPOCH + self.seconds)

    def truth(self) -> Facts:
        awake = Want.FRESH if self.outdated else Want.AWAKE
        return Facts(
            want=awake if self.wish else Want.ASLEEP,
            bridge_uid="b",
            pod_uid=f"p{getattr(self, 'deleted', 0)}",
            address="10.0.0.7",
            is_running=True,
            awake_since=EPOCH,
            asleep_since=None if self.written_since is None else EPOCH + self.written_since,
            resource_version=str(self.generation),
            generation=self.generation,
            policy=IdlePolicy(idle_seconds=IDLE_SECONDS),
            drain_timeout_seconds=DRAIN_TIMEOUT,
        )

    # ------------------------------------------------------------ the world

    @rule(seconds=st.sampled_from([0.01, 0.5, 2.0, 7.0, 25.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.seconds += seconds

    @rule(wish=st.booleans())
    def somebody_sets_the_wish(self, wish: bool) -> None:
        if wish is not self.wish:
            self.set_wish(wish)

    def set_wish(self, wish: bool) -> None:
        self.wish, self.generation = wish, self.generation + 1
        if not wish and self.asleep_since is None:
            self.asleep_since = self.seconds

    @rule(outdated=st.booleans())
    def the_template_changes(self, outdated: bool) -> None:
        self.outdated = outdated

    @rule()
    def a_message_comes(self) -> None:
        runner = self.runner
        if self.seconds >= runner.held_until:
            runner.turn, runner.last_activity, runner.cut_at = True, self.seconds, None

    @rule()
    def the_turn_ends(self) -> None:
        self.runner.turn, self.runner.last_activity = False, self.seconds

    @rule(reachable=st.booleans(), stuck=st.booleans())
    def the_runner_changes(self, reachable: bool, stuck: bool) -> None:
        self.runner.is_reachable, self.runner.is_stuck = reachable, stuck

    # --------------------------------------------------------- the operator

    @rule()
    def the_watch_tells(self) -> None:
        self.see()

    def see(self) -> None:
        before, self.facts = self.facts, self.truth()
        self.asleep_since = None if self.wish else self.asleep_since
        self.sleep = observed(self.sleep, self.facts, before=before, now=self.now)
        self.written_since = self.written_since if self.facts.want is Want.ASLEEP else None
        if self.facts.want is Want.ASLEEP and self.written_since is None:
            self.written_since = self.seconds

    @rule()
    def the_operator_is_killed(self) -> None:
        self.pending = None
        self.facts = self.truth()
        self.sleep = observed(Sleep(), self.facts, before=None, now=self.now)

    @precondition(lambda self: self.pending is None)
    @rule(lost=st.sampled_from(["", "", "", "request", "answer"]))
    def an_action_begins(self, lost: str) -> None:
        action = next_action(self.sleep, self.facts, self.now)
        if isinstance(action, Wait):
            assert action.seconds > 0
            return
        self.sleep = begun(self.sleep, action)
        if lost == "request" or not (self.runner.is_reachable or isinstance(action, Lower)):
            failed: Answer = Lowering.FAILED if isinstance(action, Lower) else Unreached("x")
            self.pending = (action, failed, self.seconds)
            return
        answer = self.perform(action)
        if lost == "answer":
            answer = Lowering.FAILED if isinstance(action, Lower) else Unreached("x")
        self.pending = (action, answer, self.seconds)

    @precondition(lambda self: self.pending is not None)
    @rule()
    def its_answer_comes(self) -> None:
        assert self.pending is not None
        (action, answer, asked_at), self.pending = self.pending, None
        self.sleep = answered(
            self.sleep, self.facts, action, answer, asked_at=asked_at, now=self.now
        )

    def perform(self, action: Action) -> Answer:
        runner = self.runner
        match action:
            case Ask():
                reasons = (BusyReason.TURN_OPEN,) if runner.turn else ()
                return Activity(busy_reasons=reasons, last_activity=EPOCH + runner.last_activity)
            case Drain(after_turn=after_turn):
                return runner.drain(self.seconds, after_turn=after_turn)
            case Resume():
                runner.held_until, runner.is_granted = 0.0, False
                return Resumed()
            case Interrupt():
                self.an_interrupt_is_due()
                runner.cut_at = self.seconds if runner.cut_at is None else runner.cut_at
                runner.turn = runner.turn and runner.is_stuck
                return Interrupted(1)
            case Lower(generation=generation):
                if generation != self.generation:
                    return Lowering.OVERTAKEN
                assert runner.agrees(self.seconds)
                assert self.seconds - runner.last_activity >= IDLE_SECONDS
                self.set_wish(False)
                return Lowering.DONE

    def an_interrupt_is_due(self) -> None:
        assert self.facts.want is Want.ASLEEP
        since = self.asleep_since if self.asleep_since is not None else self.written_since
        assert since is not None
        assert self.seconds >= since + DRAIN_TIMEOUT
        assert self.seconds < self.runner.held_until  # no message goes in after the cut turn

    @invariant()
    def a_pod_that_may_go_loses_nothing(self) -> None:
        found = permission(self.sleep, self.facts, self.now)
        if found is None:
            return
        assert found.pod_uid == self.facts.pod_uid
        assert self.facts.want is not Want.AWAKE
        runner = self.runner
        if found.ground is Ground.DRAINED:
            assert runner.agrees(self.seconds)
            return
        assert self.facts.want is Want.ASLEEP
        since = self.asleep_since if self.asleep_since is not None else self.written_since
        assert since is not None
        assert self.seconds >= since + DRAIN_TIMEOUT
        if found.ground is Ground.DRAIN_TIMEOUT:
            assert self.sleep.interrupted_at is not None
            assert self.seconds >= self.sleep.interrupted_at + INTERRUPT_SECONDS

    @rule()
    def left_to_itself_a_wish_to_sleep_comes_true(self) -> None:
        """Whatever state it is in: once nothing changes any more, the pod may go in time."""
        if self.wish:
            return
        if self.pending:
            self.its_answer_comes()
        self.see()
        is_free = self.runner.is_reachable and not self.runner.turn
        # A runner that is free agrees as soon as it is asked: at most one back-off from now.
        end = self.seconds + (17.0 if is_free else DRAIN_TIMEOUT + INTERRUPT_SECONDS + 60.0)
        while permission(self.sleep, self.facts, self.now) is None:
            assert self.seconds < end
            action = next_action(self.sleep, self.facts, self.now)
            if isinstance(action, Wait):
                self.seconds += min(action.seconds, 1.0)
                continue
            self.an_action_begins_and_ends()
        self.a_pod_that_may_go_loses_nothing()
        self.a_new_pod()

    def an_action_begins_and_ends(self) -> None:
        action = next_action(self.sleep, self.facts, self.now)
        assert not isinstance(action, Wait)
        self.sleep = begun(self.sleep, action)
        answer = self.perform(action) if self.runner.is_reachable else Unreached("x")
        asked_at, self.seconds = self.seconds, self.seconds + 0.1
        self.sleep = answered(
            self.sleep, self.facts, action, answer, asked_at=asked_at, now=self.now
        )

    def a_new_pod(self) -> None:
        self.deleted += 1
        self.runner = ModelRunner(last_activity=self.seconds)
        self.set_wish(True)
        self.written_since = None
        self.facts = replace(self.truth(), awake_since=EPOCH + self.seconds)
        self.sleep = observed(Sleep(), self.facts, before=None, now=self.now)


TestSleepMachine = SleepMachine.TestCase
TestSleepMachine.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
