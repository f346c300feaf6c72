"""The commands of the cluster before they serve: what they import, and how they take a signal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_HEAVY = {
    *("asyncio", "cryptography", "discord", "grpc", "kopf", "kubernetes"),
    *("prometheus_client", "pydantic", "yaml"),
}

programs = pytest.mark.parametrize("program", ["operator", "gateway"])


def _python(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", text],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@programs
def test_the_command_imports_nothing_heavy(program: str) -> None:
    done = _python(f"import sys, repobridge_{program}.__main__; print(*sys.modules)")
    assert f"repobridge_{program}.__main__" in done.stdout.split()
    assert {name.partition(".")[0] for name in done.stdout.split()} & _HEAVY == set()


@programs
def test_a_signal_during_the_imports_ends_it_cleanly(program: str, tmp_path: Path) -> None:
    # A module of that name first in the path: the signal comes while it is imported.
    (tmp_path / "kubernetes.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\nraise SystemExit(9)\n"
    )
    done = _python(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r});"
        f" from repobridge_{program}.__main__ import main; main([])"
    )
    assert (done.returncode, done.stderr) == (0, "")


@programs
def test_settings_that_are_not_there_are_told_in_a_sentence(program: str, tmp_path: Path) -> None:
    missing = str(tmp_path / "settings.yaml")
    done = _python(
        f"from repobridge_{program}.__main__ import main; main(['--config', {missing!r}])"
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(f"repobridge-{program}: ")
