from __future__ import annotations

import stat
import uuid
from pathlib import Path

import pytest

from repobridge_gateway.places import (
    LONGEST_SOCKET_PATH,
    PlaceError,
    bridge_places,
    bridge_uid,
    runner_socket_dir,
    serve_socket,
    state_dir,
    write_whole,
)


def test_the_places_follow_the_xdg_variables() -> None:
    environment = {"HOME": "/home/ada", "XDG_RUNTIME_DIR": "/run/user/1"}
    assert serve_socket(environment) == Path("/run/user/1/repobridge/serve.sock")
    assert state_dir(environment) == Path("/home/ada/.local/state/repobridge")
    assert state_dir({"XDG_STATE_HOME": "/var/s"}) == Path("/var/s/repobridge")
    assert serve_socket({"XDG_STATE_HOME": "/var/s"}) == Path("/var/s/repobridge/serve.sock")
    relative = {"HOME": "/home/ada", "XDG_STATE_HOME": "s", "XDG_RUNTIME_DIR": "r"}
    assert serve_socket(relative) == Path("/home/ada/.local/state/repobridge/serve.sock")


@pytest.mark.parametrize("name", ["payments", "a/b", "..", "Ünï cödé", "x" * 100, "A", "a"])
def test_every_bridge_has_a_private_directory_of_its_own(tmp_path: Path, name: str) -> None:
    places = bridge_places(name, state=tmp_path / "state", sockets=tmp_path)
    assert places.directory.parent == tmp_path / "state/bridges"
    assert stat.S_IMODE(places.directory.stat().st_mode) == 0o700
    others = {"payments", "a/b", "..", "Ünï cödé", "x" * 100, "A", "a"} - {name}
    for other in others:
        there = bridge_places(other, state=tmp_path / "state", sockets=tmp_path)
        assert (there.directory, there.socket) != (places.directory, places.socket)


def test_the_uid_is_made_once_and_kept_by_the_name(tmp_path: Path) -> None:
    first = bridge_uid(bridge_places("a", state=tmp_path / "s", sockets=tmp_path))
    again = bridge_uid(bridge_places("a", state=tmp_path / "s", sockets=tmp_path))
    other = bridge_uid(bridge_places("b", state=tmp_path / "s", sockets=tmp_path))
    assert (uuid.UUID(first), first == again, first == other) == (uuid.UUID(again), True, False)


def test_a_broken_uid_is_not_replaced(tmp_path: Path) -> None:
    places = bridge_places("a", state=tmp_path / "s", sockets=tmp_path)
    (places.directory / "uid").write_text("not one")
    with pytest.raises(PlaceError) as refused:
        bridge_uid(places)
    assert str(places.directory / "uid") in str(refused.value)


def test_runners_sockets_stay_short_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the tests' own directory may be too deep for a socket already
    beside = Path("s")
    beside.mkdir(mode=0o700)
    assert runner_socket_dir(beside / "serve.sock") == beside / "runners"
    deep = tmp_path / ("d" * 120) / "serve.sock"
    short = runner_socket_dir(deep)
    try:
        assert len(str(short / ("0" * 16 + ".sock"))) <= LONGEST_SOCKET_PATH
        assert stat.S_IMODE(short.stat().st_mode) == 0o700
    finally:
        short.rmdir()


def test_a_file_is_replaced_whole_and_private(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_whole(path, "one")
    write_whole(path, "two", durable=False)
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("two", 0o600)
    assert [each.name for each in tmp_path.iterdir()] == ["f"]
