"""The stubs of the wire are what the .proto files say."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Freshly generated stubs."""
    out = tmp_path_factory.mktemp("stubs")
    subprocess.run([ROOT / "scripts/generate-proto", out], check=True, capture_output=True)
    return out


@pytest.mark.parametrize("stem", ["session/v1/session_pb2", "local/v1/local_pb2"])
@pytest.mark.parametrize("ending", [".py", ".pyi", "_grpc.py", "_grpc.pyi"])
def test_stubs_are_current(generated: Path, stem: str, ending: str) -> None:
    name = f"repobridge/{stem}{ending}"
    fresh = (generated / name).read_text()
    assert (ROOT / "core" / name).read_text() == fresh, "out of date: run `make proto`"


def test_there_are_stubs_for_every_proto_file_and_no_others(generated: Path) -> None:
    kept = {p.relative_to(ROOT / "core") for p in (ROOT / "core").rglob("*_pb2*.py*")}
    kept = {path for path in kept if "__pycache__" not in path.parts}
    assert kept == {p.relative_to(generated) for p in generated.rglob("*_pb2*.py*")}
    for proto in (ROOT / "core").rglob("*.proto"):
        assert proto.relative_to(ROOT / "core").with_name(f"{proto.stem}_pb2.py") in kept
