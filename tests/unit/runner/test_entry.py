"""The runner's command before it serves: what it imports, and how it takes a signal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from repobridge import __version__

_FOREIGN = {"cryptography", "discord", "kopf", "kubernetes", "prometheus_client", "pydantic"} | {
    "pyte",
    "repobridge_cli",
    "repobridge_gateway",
    "repobridge_operator",
    "yaml",
}
_HEAVY = {"asyncio", "google", "grpc", "h11", "sqlite3", "ssl"}


def _python(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _imported_by(module: str) -> set[str]:
    done = _python(f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})")
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_serving_imports_nothing_of_the_other_parts() -> None:
    assert _imported_by("repobridge_runner.serving") & _FOREIGN == set()


@pytest.mark.parametrize("module", ["repobridge_runner.__main__", "repobridge_runner.stdio"])
def test_the_command_and_the_relay_import_nothing_heavy(module: str) -> None:
    assert _imported_by(module) & (_FOREIGN | _HEAVY) == set()


def test_its_version_is_the_distributions() -> None:
    done = _python("from repobridge_runner.__main__ import main; main(['--version'])")
    assert (done.returncode, done.stdout) == (0, f"repobridge-runner {__version__}\n")


def test_without_settings_it_says_where_they_go() -> None:
    done = _python("from repobridge_runner.__main__ import main; main([])")
    assert (done.returncode, done.stderr) == (
        2,
        "repobridge-runner: There are no settings; name a file with --config, or set"
        " REPOBRIDGE_SETTINGS.\n",
    )


def test_wrong_settings_of_the_environment_are_told_by_its_name() -> None:
    done = _python(
        "from repobridge_runner.__main__ import main; main([])", REPOBRIDGE_SETTINGS='{"a": 1}'
    )
    assert (done.returncode, done.stderr) == (
        2,
        "repobridge-runner: REPOBRIDGE_SETTINGS: a: no such setting\n",
    )


def test_a_signal_during_the_imports_ends_it_cleanly(tmp_path: Path) -> None:
    # A module of that name first in the path: the signal comes while it is imported.
    (tmp_path / "grpc.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\nraise SystemExit(9)\n"
    )
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r});"
        " from repobridge_runner.__main__ import main; main([])"
    )
    done = _python(program, REPOBRIDGE_SETTINGS="{}")
    assert (done.returncode, done.stderr) == (0, "")
