"""Disk space set aside: it is really there, and comes back once there is room."""

from __future__ import annotations

import os
from pathlib import Path

from repobridge.durable.reserve import Reserve


def test_the_reserve_is_of_real_blocks_and_can_be_spent_once(tmp_path: Path) -> None:
    path = tmp_path / "reserve"
    reserve = Reserve(path, size_bytes=1 << 20)
    assert reserve.is_spent
    assert reserve.restore()
    assert path.stat().st_blocks * 512 >= 1 << 20
    assert not Reserve(path, size_bytes=1 << 20).is_spent
    assert [reserve.spend(), reserve.spend()] == [True, False]
    assert not path.exists()
    assert reserve.restore()


def test_a_sparse_file_is_no_reserve(tmp_path: Path) -> None:
    path = tmp_path / "reserve"
    path.touch()
    os.truncate(path, 1 << 20)
    assert Reserve(path, size_bytes=1 << 20).is_spent
