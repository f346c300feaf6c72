"""The operator's command before it serves: what it imports, and how it takes a signal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_HEAVY = {"asyncio", "cryptography", "grpc", "kopf", "kubernetes", "prometheus_client", "pydantic"}


def _python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_imports_nothing_heavy() -> None:
    done = _python("import sys, repobridge_operator.__main__; print(*sys.modules)")
    assert {name.partition(".")[0] for name in done.stdout.split()} & _HEAVY == set()


def test_a_signal_during_the_imports_ends_it_cleanly(tmp_path: Path) -> None:
    # A module of that name first in the path: the signal comes while it is imported.
    (tmp_path / "kopf.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\nraise SystemExit(9)\n"
    )
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r});"
        " from repobridge_operator.__main__ import main; main([])"
    )
    done = _python(program)
    assert (done.returncode, done.stderr) == (0, "")


def test_settings_that_are_not_there_are_told_in_a_sentence(tmp_path: Path) -> None:
    missing = str(tmp_path / "operator.yaml")
    done = _python(
        f"from repobridge_operator.__main__ import main; main(['--config', {missing!r}])"
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("repobridge-operator: ")
