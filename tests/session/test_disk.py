"""The log's volume fills up: new work is refused, what runs is told to its end, none is lost."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from repobridge.session.events import (
    MessageState,
    RequestOutcome,
    TextDelta,
    TurnEnded,
    TurnOpened,
    TurnOutcome,
    Verdict,
)
from repobridge.session.refusals import from_rpc_error
from repobridge.session.v1 import session_pb2 as pb
from repobridge_runner.settings import RepositorySettings
from tests.fakes.scripted_claude.installed import ScriptedClaude, open_gate
from tests.session.conftest import git, make_repository
from tests.session.faulty import (
    FaultyRunner,
    assert_one_end_each,
    eventually,
    scripted_runner,
)


@pytest.fixture
def scripted(tmp_path: Path) -> ScriptedClaude:
    """A scripted agent that behaves until it is told otherwise."""
    return ScriptedClaude(tmp_path / "agent")


@pytest.fixture
def small_volume(tmp_path: Path) -> Iterator[Path]:
    """A volume of 40 MiB."""
    if os.geteuid() != 0:
        pytest.skip("a disk is filled on a volume of its own, which only root may mount")
    path = tmp_path / "volume"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", path], check=True)
    yield path
    subprocess.run(["umount", "--lazy", path], check=True)


def fill(volume: Path) -> Path:
    """Takes all the room that is left."""
    filler = volume / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 65536)
        except OSError:
            pass
    return filler


async def refusal(runner: FaultyRunner, text: str, message_id: str) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await runner.submit(text, message_id=message_id)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    return from_rpc_error(refused.value).reason


async def problem(runner: FaultyRunner) -> str:
    """Why nothing can run there, as the operator is told."""
    return (await runner.stub.Activity(pb.ActivityRequest())).problem.reason


async def serving(runner: FaultyRunner) -> None:
    """Waits until its workspace is prepared."""
    async with asyncio.timeout(60):
        while (await runner.stub.Activity(pb.ActivityRequest())).state != pb.RUNNER_STATE_SERVING:
            await asyncio.sleep(0.1)


async def test_a_full_disk_refuses_new_work_ends_what_runs_and_loses_nothing(
    tmp_path: Path, scripted: ScriptedClaude, small_volume: Path
) -> None:
    gate = scripted.gate("end")
    async with scripted_runner(tmp_path, scripted, state_dir=small_volume / "state") as runner:
        await runner.turn("before")
        await runner.submit(f"%say begun\n%gate {gate}\n%say while it was full")
        await runner.submit("waits")
        await runner.next(TextDelta, where=lambda delta: "begun" in delta.markdown)
        filler = fill(small_volume)
        assert await refusal(runner, "refused", "m9") == "DISK_FULL"
        open_gate(gate)
        ended = await runner.ended("m2")
        assert ended.outcome is TurnOutcome.COMPLETED
        assert ended.final_markdown == "begun\nwhile it was full"
        assert await refusal(runner, "refused", "m9") == "DISK_FULL"
        assert await problem(runner) == "DISK_FULL"
        filler.unlink()
        assert await problem(runner) == ""
        assert (await runner.turn("there is room", message_id="m9")).outcome is (
            TurnOutcome.COMPLETED
        )
        assert (await runner.ended("m3")).final_markdown == "echo: waits"
        opened = [body.message_id for body in runner.of(TurnOpened)]
        assert opened == ["m1", "m2", "m3", "m9"]
        assert len(runner.of(TurnEnded)) == 4
        assert_one_end_each(runner)


async def test_a_message_that_waits_runs_when_there_is_room_again_without_being_asked(
    tmp_path: Path, scripted: ScriptedClaude, small_volume: Path
) -> None:
    gate = scripted.gate("end")
    async with scripted_runner(tmp_path, scripted, state_dir=small_volume / "state") as runner:
        await runner.submit(f"%say begun\n%gate {gate}")
        await runner.submit("waits")
        await runner.next(TextDelta)
        filler = fill(small_volume)
        open_gate(gate)
        await runner.ended("m1")
        # It was tried and turned away before there is room.
        await eventually(lambda: runner.log_text().count("session refused") > 1)
        filler.unlink()
        assert (await runner.ended("m2")).outcome is TurnOutcome.COMPLETED
        assert_one_end_each(runner)


async def test_a_runner_that_is_killed_on_a_full_disk_starts_and_tells_what_became_of_its_turn(
    tmp_path: Path, scripted: ScriptedClaude, small_volume: Path
) -> None:
    gate = scripted.gate("never")
    async with scripted_runner(tmp_path, scripted, state_dir=small_volume / "state") as runner:
        await runner.turn("before")
        await runner.submit(f"%say begun\n%gate {gate}")
        await runner.submit("waits")
        await runner.next(TextDelta, where=lambda delta: "begun" in delta.markdown)
        filler = fill(small_volume)
        await runner.kill()
        await runner.start()
        assert await refusal(runner, "refused", "m9") == "DISK_FULL"
        filler.unlink()
        ended = await runner.ended("m2")
        assert ended.outcome in (TurnOutcome.COMPLETED, TurnOutcome.LOST)
        assert (await runner.ended("m3")).outcome is TurnOutcome.COMPLETED
        assert_one_end_each(runner)


async def test_a_start_on_a_full_disk_that_can_fetch_nothing_serves_once_there_is_room(
    tmp_path: Path, scripted: ScriptedClaude, small_volume: Path
) -> None:
    url = "https://127.0.0.1:1/acme/payments.git"
    make_repository(tmp_path / "directory")
    git(tmp_path / "directory", "remote", "add", "origin", url)
    async with scripted_runner(
        tmp_path,
        scripted,
        state_dir=small_volume / "state",
        repository=RepositorySettings(url=url),
    ) as runner:
        await runner.turn("before")
        await runner.stop()
        filler = fill(small_volume)
        await runner.start()
        await serving(runner)
        assert await refusal(runner, "refused", "m9") == "DISK_FULL"
        filler.unlink()
        assert (await runner.turn("after", message_id="m9")).outcome is TurnOutcome.COMPLETED


async def test_a_request_that_waits_on_a_full_disk_is_decided_and_its_turn_ends(
    tmp_path: Path, scripted: ScriptedClaude, small_volume: Path
) -> None:
    gate, never = scripted.gate("ask"), scripted.gate("never")
    async with scripted_runner(tmp_path, scripted, state_dir=small_volume / "state") as runner:
        await runner.submit("%ask echo one")
        early = await runner.approval()
        filler = fill(small_volume)
        await runner.decide(early.request_id, verdict=Verdict.ALLOW.value)
        assert (await runner.ended("m1")).outcome is TurnOutcome.COMPLETED
        filler.unlink()
        await runner.submit(f"%say begun\n%gate {gate}\n%ask echo two\n%gate {never}")
        await runner.next(TextDelta, where=lambda delta: "begun" in delta.markdown)
        seen = len(runner.events)
        filler = fill(small_volume)
        open_gate(gate)
        late = await runner.approval(after=seen)
        await runner.interrupt()
        assert (await runner.resolved(late.request_id)).outcome is RequestOutcome.CANCELLED
        assert (await runner.ended("m2")).outcome is TurnOutcome.INTERRUPTED
        filler.unlink()
        assert_one_end_each(runner)


async def test_calls_that_only_read_work_on_a_full_disk(
    tmp_path: Path, scripted: ScriptedClaude, small_volume: Path
) -> None:
    async with scripted_runner(tmp_path, scripted, state_dir=small_volume / "state") as runner:
        await runner.turn("before")
        filler = fill(small_volume)
        listed = await runner.stub.ListSessions(pb.ListSessionsRequest())
        assert [session.conversation_id for session in listed.sessions] == ["main"]
        await runner.stub.Activity(pb.ActivityRequest())
        again = await runner.submit("before", message_id="m1")
        assert (again.duplicate, again.status.state) == (True, MessageState.ENDED.value)
        acked = await runner.stub.Ack(
            pb.AckRequest(
                consumer="gateway",
                cursor=pb.Cursor(log_id=runner.events[0].log_id, sequence=3),
            )
        )
        assert acked.acked.sequence == 3
        assert await runner.stop() == 0
        filler.unlink()
        await runner.start()
        assert (await runner.turn("after")).outcome is TurnOutcome.COMPLETED
