from __future__ import annotations

import pytest

from repobridge.conditions import Reason, sentence
from repobridge.session import events as ev
from repobridge_gateway.render.limits import check
from repobridge_gateway.render.wake import Wake, WakeStage, render_wake, stage_of


def test_each_step_tells_its_seconds() -> None:
    wake = Wake(100.0)
    assert render_wake(wake, 100.2).content == (
        "⏳ Waking up · 0s\n-# scheduling → pulling the image → cloning → starting"
    )
    wake = wake.at(WakeStage.SCHEDULING, 100.0).at(WakeStage.PULLING, 102.0)
    wake = wake.at(WakeStage.CLONING, 107.0, detail="Receiving objects: 41 %")
    assert render_wake(wake, 119.6).content == (
        "⏳ Waking up · 20s\n"
        "-# ✓ scheduling 2s → ✓ pulling the image 5s → ▸ cloning 13s → starting\n"
        "-# Receiving objects: 41 %"
    )


def test_a_step_that_goes_on_keeps_its_time_and_one_that_was_left_out_is_over() -> None:
    wake = Wake(0.0).at(WakeStage.STARTING, 1.0).at(WakeStage.STARTING, 5.0)
    assert render_wake(wake, 6.0).content.split("\n")[1] == (
        "-# ✓ scheduling → ✓ pulling the image → ✓ cloning → ▸ starting 5s"
    )


def test_one_machine_has_fewer_steps() -> None:
    wake = Wake(0.0, stages=(WakeStage.STARTING,)).at(WakeStage.STARTING, 0.0)
    assert render_wake(wake, 2.0).content == "⏳ Waking up · 2s\n-# ▸ starting 2s"


def test_a_step_back_is_shown_as_it_is() -> None:
    wake = Wake(0.0).at(WakeStage.STARTING, 1.0).at(WakeStage.CLONING, 2.0)
    assert render_wake(wake, 4.0).content.split("\n")[1] == (
        "-# ✓ scheduling → ✓ pulling the image → ▸ cloning 2s → starting"
    )


def test_a_failure_says_what_to_do_and_that_nothing_is_lost() -> None:
    why = sentence(Reason.UNSCHEDULABLE, detail="0/3 nodes are available")
    wake = Wake(0.0).at(WakeStage.SCHEDULING, 0.0).failed(why)
    assert render_wake(wake, 90.0).content == (
        "⚠ This repository's session can't start yet (1m30s).\n"
        f"{why}\n"
        "-# ✗ scheduling 1m30s → pulling the image → cloning → starting\n"
        "-# Your message is kept, and runs as soon as that is mended."
    )
    assert wake.at(WakeStage.PULLING, 95.0).failure == ""


def test_a_long_failure_can_be_sent() -> None:
    assert check(render_wake(Wake(0.0).failed("x" * 4096), 1.0))


@pytest.mark.parametrize(
    ("told", "stage"),
    [
        (Reason.SCHEDULING, WakeStage.SCHEDULING),
        (Reason.PULLING_IMAGE, WakeStage.PULLING),
        (Reason.CLONING, WakeStage.CLONING),
        (Reason.STARTING, WakeStage.STARTING),
        (ev.Phase.FETCHING, WakeStage.CLONING),
        (ev.Phase.RESUMING, WakeStage.STARTING),
        (Reason.SERVING, None),
    ],
)
def test_conditions_and_phases_are_steps(told: Reason | ev.Phase, stage: WakeStage | None) -> None:
    assert stage_of(told) is stage
