from __future__ import annotations

import os
import stat
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from repobridge_runner.confinement import closed_to_agents
from repobridge_runner.launch import landlock_abi
from repobridge_runner.places import PlaceError, make_places
from repobridge_runner.settings import RunnerSettings


@pytest.fixture
def settings(tmp_path: Path) -> RunnerSettings:
    volume = tmp_path / "workspace"
    volume.mkdir()
    return RunnerSettings(
        bridge_uid=str(uuid.uuid4()),
        directory=volume / "checkout",
        state_dir=volume / "state",
        socket=tmp_path / "run" / "session.sock",
        volume=str(volume),
    )


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_lies_on_the_volume_is_made_private(settings: RunnerSettings) -> None:
    home = Path(settings.volume) / "home"
    make_places(settings, home=str(home))
    make_places(settings, home=str(home))
    places = (settings.state_dir, settings.directory, home)
    assert [_mode(place) for place in places] == [0o700] * 3


def test_what_lies_elsewhere_is_left_alone(settings: RunnerSettings, tmp_path: Path) -> None:
    make_places(replace(settings, directory=tmp_path / "work"), home=str(tmp_path / "person"))
    make_places(replace(settings, volume=""), home=str(tmp_path / "person"))
    made = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert made == ["workspace", "workspace/state"]


def test_a_volume_that_is_not_there_is_refused(settings: RunnerSettings) -> None:
    Path(settings.volume).rmdir()
    with pytest.raises(PlaceError) as refused:
        make_places(settings, home="")
    assert str(refused.value) == (
        f"The volume {settings.volume} is not there; mount one at that path."
    )


def test_a_volume_that_others_own_is_refused_with_what_to_set(
    settings: RunnerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(settings.volume).chmod(0o755)
    owner = Path(settings.volume).stat()
    # Root may write anywhere: so the kernel's answer is given here, as another user gets it.
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(os, "geteuid", lambda: 65532)
    monkeypatch.setattr(os, "getegid", lambda: 65532)
    with pytest.raises(PlaceError) as refused:
        make_places(settings, home="")
    assert str(refused.value) == (
        f"{settings.volume} can't be written by the user 65532: it belongs to {owner.st_uid}:"
        f"{owner.st_gid} with the mode 755. In a pod, set fsGroup to 65532; elsewhere, change its"
        " owner."
    )


def test_a_state_that_can_not_be_made_is_refused(settings: RunnerSettings) -> None:
    settings.state_dir.write_text("no directory")
    with pytest.raises(PlaceError) as refused:
        make_places(settings, home="")
    assert str(refused.value) == f"{settings.state_dir} can't be made: File exists."


@pytest.mark.skipif(landlock_abi() < 1, reason="the kernel has no Landlock")
def test_the_state_is_closed_to_agents_though_that_narrows_the_volume(
    settings: RunnerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.state_dir.mkdir()
    volume = Path(settings.volume)
    # Root may write anywhere; in a pod the volume is all that the runner may write in.
    monkeypatch.setattr(
        os, "access", lambda path, _: Path(os.fsdecode(path)).is_relative_to(volume)
    )
    private = settings.state_dir / "private"
    assert closed_to_agents(settings.state_dir, volume=settings.volume) == (private,)
    assert closed_to_agents(settings.state_dir) == ()
