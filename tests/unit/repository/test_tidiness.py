"""What holds for every file of the repository."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# Places of one machine, spelled so that this file does not name them.
_PLACES = re.compile(r"(?<![\w./}$-])/" + r"(?:work|root)(?![\w-])")
_REGISTRIES = re.compile(
    r"://[\w.@:-]*(?:pypi|pythonhosted|npmjs|registry|proxy\.golang|artifactory|nexus|mirror)"
)
_LOCKS = {"uv.lock"}


@cache
def tracked() -> tuple[Path, ...]:
    """Every file that git keeps."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True)
    return tuple(ROOT / name for name in listed.stdout.decode().split("\0") if name)


def lines() -> Iterator[tuple[str, str]]:
    for path in tracked():
        name = str(path.relative_to(ROOT))
        if name not in _LOCKS and path.exists():
            for number, line in enumerate(path.read_text().splitlines(), 1):
                yield f"{name}:{number}", line


def shell_scripts() -> list[Path]:
    return [path for path in tracked() if _first_line(path).startswith(b"#!") and _is_shell(path)]


def _first_line(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.readline()


def _is_shell(path: Path) -> bool:
    return bool(re.search(rb"\b(ba)?sh\b", _first_line(path)))


@pytest.mark.parametrize("script", shell_scripts(), ids=lambda path: path.name)
def test_shell_scripts_can_be_read_by_their_shell(script: Path) -> None:
    done = subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "set -euo pipefail" in script.read_text()
    assert script.stat().st_mode & 0o111


def test_the_shell_scripts_were_found() -> None:
    names = {str(path.relative_to(ROOT)) for path in shell_scripts()}
    assert names >= {".ci/run", "scripts/generate-proto", "scripts/install-claude"}


def test_no_file_names_places_of_one_machine() -> None:
    assert [where for where, line in lines() if _PLACES.search(line)] == []


def test_only_the_lock_names_registries() -> None:
    assert [where for where, line in lines() if _REGISTRIES.search(line)] == []
