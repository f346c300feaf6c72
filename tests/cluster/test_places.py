"""A cluster's place: one holder at a time; what the dead left is removed, the living let alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from repobridge.process import read_process
from tests.cluster import places
from tests.cluster.places import ClusterRuns, Place, State


def test_one_name_has_one_holder_until_it_lets_go(tmp_path: Path) -> None:
    place = Place(tmp_path, "one")
    held = places.take_lock(place)

    with pytest.raises(ClusterRuns, match="A cluster named one already runs"):
        places.take_lock(place)
    os.close(places.take_lock(Place(tmp_path, "other")))

    os.close(held)
    os.close(places.take_lock(place))


def test_a_sweep_removes_what_nobody_holds(tmp_path: Path) -> None:
    dead, living = Place(tmp_path, "dead"), Place(tmp_path, "living")
    for place in (dead, living):
        place.directory.mkdir()
        (place.directory / "file").write_text("")
    os.close(places.take_lock(dead))
    held = places.take_lock(living)

    assert places.sweep(tmp_path) == ["dead"]

    assert sorted(path.name for path in tmp_path.iterdir()) == ["living", "living.lock"]
    assert (living.directory / "file").exists()
    os.close(held)


def test_a_state_names_one_process_and_not_the_next_of_its_number(tmp_path: Path) -> None:
    place = Place(tmp_path, "one")
    place.directory.mkdir()
    assert place.read_state() is None
    own = read_process(os.getpid())
    assert own is not None

    place.write_state(State(pid=own.pid, start_time=own.start_time, is_ready=True))

    state = place.read_state()
    assert state == State(pid=own.pid, start_time=own.start_time, is_ready=True)
    assert state.is_alive
    assert not State(pid=own.pid, start_time=own.start_time - 1, is_ready=True).is_alive
