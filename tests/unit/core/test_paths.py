"""A bridge works only where it is allowed to, whatever links say."""

from __future__ import annotations

from pathlib import Path

import pytest

from repobridge.paths import WorkingDirError, resolve_working_dir


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Path, ...]:
    (tmp_path / "allowed/project/deep").mkdir(parents=True)
    (tmp_path / "other/secret").mkdir(parents=True)
    (tmp_path / "allowed-too").mkdir()
    (tmp_path / "allowed/file").write_text("x")
    (tmp_path / "allowed/out").symlink_to(tmp_path / "other")
    (tmp_path / "allowed/in").symlink_to("project")
    (tmp_path / "allowed/loop").symlink_to("loop")
    (tmp_path / "shortcut").symlink_to("allowed")
    return (tmp_path / "allowed",)


@pytest.mark.parametrize(
    ("asked", "real"),
    [
        ("allowed", "allowed"),
        ("allowed/project/deep", "allowed/project/deep"),
        ("allowed/in/deep", "allowed/project/deep"),
        ("shortcut/project", "allowed/project"),
    ],
)
def test_a_directory_within_a_root_is_resolved(
    roots: tuple[Path, ...], tmp_path: Path, asked: str, real: str
) -> None:
    assert resolve_working_dir(tmp_path / asked, roots) == tmp_path / real
    assert resolve_working_dir(str(tmp_path / asked), [str(root) for root in roots])


def test_a_root_may_be_a_link_itself(roots: tuple[Path, ...], tmp_path: Path) -> None:
    assert (
        resolve_working_dir(tmp_path / "allowed/project", [tmp_path / "shortcut"])
        == tmp_path / "allowed/project"
    )


def test_without_roots_any_directory_will_do(roots: tuple[Path, ...], tmp_path: Path) -> None:
    assert resolve_working_dir(tmp_path / "allowed/out", ()) == tmp_path / "other"


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ("other/secret", "OUTSIDE_ROOTS"),
        ("allowed-too", "OUTSIDE_ROOTS"),
        ("allowed/out/secret", "LINK_LEAVES_ROOT"),
        ("allowed/out", "LINK_LEAVES_ROOT"),
        ("allowed/project/../../other", "TRAVERSAL"),
        ("allowed/missing", "MISSING"),
        ("allowed/file", "NOT_A_DIRECTORY"),
        ("allowed/file/x", "MISSING"),
        ("allowed/loop", "NOT_ACCESSIBLE"),
        ("allowed/n\0ul", "NOT_ACCESSIBLE"),
    ],
)
def test_anything_else_is_refused_with_a_reason(
    roots: tuple[Path, ...], tmp_path: Path, asked: str, reason: str
) -> None:
    with pytest.raises(WorkingDirError) as caught:
        resolve_working_dir(f"{tmp_path}/{asked}", roots)
    assert caught.value.reason == reason


def test_a_relative_path_is_refused() -> None:
    with pytest.raises(WorkingDirError) as caught:
        resolve_working_dir("project", ())
    assert (caught.value.reason, str(caught.value)) == (
        "NOT_ABSOLUTE",
        "working_dir project is relative; write the whole path, from /.",
    )


def test_the_sentence_says_how_to_mend_it(roots: tuple[Path, ...], tmp_path: Path) -> None:
    with pytest.raises(WorkingDirError) as caught:
        resolve_working_dir(tmp_path / "allowed/out", roots)
    assert str(caught.value) == (
        f"working_dir {tmp_path}/allowed/out is a link to {tmp_path}/other, which is outside the"
        f" allowed roots ({tmp_path}/allowed); use a directory inside them, or allow the one it"
        " leads to."
    )
