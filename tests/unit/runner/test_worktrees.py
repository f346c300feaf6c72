"""Every conversation gets its own worktree and branch, and gets it back whatever happened to it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from repobridge.session.events import WorkspaceChanged
from repobridge_runner.workspace import DiffResult, Workspace, WorkspaceError, Worktree
from tests.fakes import githttp
from tests.unit.runner.gitcases import unheard, workspace


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return githttp.make_repository(tmp_path / "repo", {"a": "1\n", "deep/er/b": "2\n"})


@pytest.fixture
async def work(tmp_path: Path, checkout: Path) -> AsyncIterator[Workspace]:
    made = workspace(tmp_path, directory=checkout)
    await made.prepare(unheard)
    yield made
    made.close()


async def test_main_is_the_checkout_itself(work: Workspace, checkout: Path) -> None:
    assert await work.worktree("main") == Worktree(checkout, "main", created=False)


async def test_a_conversation_gets_its_worktree_once(
    work: Workspace, tmp_path: Path, checkout: Path
) -> None:
    path = tmp_path / "state/worktrees/123"
    assert await work.worktree("123") == Worktree(path, "repobridge/123", created=True)
    assert await work.worktree("123") == Worktree(path, "repobridge/123", created=False)
    assert (path / "a").read_text() == "1\n"
    assert githttp.git(checkout, "status", "--porcelain") == ""


async def test_several_at_once_do_not_get_in_each_others_way(work: Workspace) -> None:
    made = await asyncio.gather(*(work.worktree(str(n % 4)) for n in range(8)))
    assert [each.created for each in made] == [True] * 4 + [False] * 4
    assert len({each.path for each in made}) == 4


async def test_a_worktree_starts_at_mains_head_or_where_it_is_told(
    work: Workspace, checkout: Path
) -> None:
    first = githttp.git(checkout, "rev-parse", "HEAD")
    second = githttp.commit(checkout, {"a": "2\n"})
    assert (await work.status((await work.worktree("1")).path)).head == second
    fork = await work.worktree("2", start_point=first)
    assert (await work.status(fork.path)).head == first
    with pytest.raises(WorkspaceError) as caught:
        await work.worktree("3", start_point="--help")
    assert caught.value.reason == "WorktreeFailed"


async def test_a_deleted_folder_comes_back_from_its_branch(work: Workspace) -> None:
    made = await work.worktree("123")
    kept = githttp.commit(made.path, {"kept": "x"})
    shutil.rmtree(made.path)
    again = await work.worktree("123")
    assert again == Worktree(made.path, "repobridge/123", created=True)
    assert await work.status(again.path) == WorkspaceChanged(
        branch="repobridge/123", head=kept, ahead=1
    )
    assert (await work.diff(again.path)).files == 1


async def test_a_deleted_folder_on_another_branch_comes_back_on_it(work: Workspace) -> None:
    made = await work.worktree("123")
    githttp.git(made.path, "checkout", "--quiet", "-b", "feature")
    shutil.rmtree(made.path)
    assert await work.worktree("123") == Worktree(made.path, "feature", created=True)


async def test_a_deleted_folder_with_a_detached_head_comes_back_there(work: Workspace) -> None:
    made = await work.worktree("123")
    githttp.git(made.path, "checkout", "--quiet", "--detach")
    head = githttp.commit(made.path, {"c": "3\n"})
    shutil.rmtree(made.path)
    assert await work.worktree("123") == Worktree(made.path, "", created=True)
    assert githttp.git(made.path, "rev-parse", "HEAD") == head


async def test_a_pruned_worktree_comes_back_from_its_branch(
    work: Workspace, checkout: Path
) -> None:
    made = await work.worktree("123")
    kept = githttp.commit(made.path, {"kept": "x"})
    shutil.rmtree(made.path)
    githttp.git(checkout, "worktree", "prune")
    await work.worktree("123")
    assert githttp.git(made.path, "rev-parse", "HEAD") == kept


async def test_a_lost_link_is_repaired_and_the_files_stay(work: Workspace) -> None:
    made = await work.worktree("123")
    (made.path / "draft").write_text("x")
    (made.path / ".git").unlink()
    assert await work.worktree("123") == Worktree(made.path, "repobridge/123", created=False)
    assert (made.path / "draft").read_text() == "x"


async def test_above_a_worktree_that_lost_its_link_nothing_is_shown(
    work: Workspace, tmp_path: Path
) -> None:
    made = await work.worktree("123")
    githttp.git(tmp_path, "init", "--quiet")
    (made.path / ".git").unlink()
    assert await work.status(made.path) == WorkspaceChanged()
    assert await work.diff(made.path) == DiffResult()


async def test_a_folder_that_is_no_worktree_is_set_aside(work: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "state/worktrees/123"
    path.mkdir(parents=True)
    (path / "draft").write_text("x")
    assert (await work.worktree("123")).created
    assert (path.parent / "123.lost-1/draft").read_text() == "x"
    assert not (path / "draft").exists()


async def test_a_link_in_a_worktrees_place_is_not_followed(work: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "state/worktrees/123"
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path / "elsewhere")
    assert (await work.worktree("123")).created
    assert not path.is_symlink()
    assert not (tmp_path / "elsewhere").exists()


async def test_a_link_in_place_of_all_worktrees_is_not_followed(
    work: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "private/123").mkdir(parents=True)
    (tmp_path / "private/123/journal").write_text("x")
    (tmp_path / "state/worktrees").symlink_to(tmp_path / "private")
    with pytest.raises(WorkspaceError) as caught:
        await work.worktree("123")
    assert caught.value.reason == "WorktreeFailed"
    assert (tmp_path / "private/123/journal").read_text() == "x"


async def test_worktrees_may_lie_elsewhere_than_our_notes(checkout: Path, tmp_path: Path) -> None:
    work = workspace(tmp_path, directory=checkout, worktrees_dir=tmp_path / "open/worktrees")
    await work.prepare(unheard)
    made = await work.worktree("123")
    assert made.path == tmp_path / "open/worktrees/123"
    assert [path.name for path in (tmp_path / "open/worktrees").iterdir()] == ["123"]
    githttp.commit(made.path, {"c": "3\n"})
    assert (await work.diff(made.path)).files == 1
    work.close()


async def test_a_branch_that_exists_is_used(work: Workspace, checkout: Path) -> None:
    githttp.git(checkout, "branch", "repobridge/123")
    githttp.commit(checkout, {"a": "2\n"})
    made = await work.worktree("123")
    assert (made.branch, (await work.status(made.path)).behind) == ("repobridge/123", 1)
    assert await work.diff(made.path) == DiffResult(branch="repobridge/123")


async def test_a_branch_that_is_checked_out_elsewhere_is_left_alone(
    work: Workspace, checkout: Path, tmp_path: Path
) -> None:
    githttp.git(checkout, "worktree", "add", "--quiet", "-b", "repobridge/123", "../theirs")
    assert (await work.worktree("123")).branch == "repobridge/123-2"


async def test_a_branch_named_like_our_folder_leaves_room(work: Workspace, checkout: Path) -> None:
    githttp.git(checkout, "branch", "repobridge")
    assert (await work.worktree("123")).branch == "repobridge-123"


async def test_a_missing_worktree_of_somebody_else_is_not_pruned(
    work: Workspace, checkout: Path, tmp_path: Path
) -> None:
    githttp.git(checkout, "worktree", "add", "--quiet", "../theirs")
    (tmp_path / "theirs").rename(tmp_path / "unplugged")
    made = await work.worktree("123")
    shutil.rmtree(made.path)
    await work.worktree("123")
    assert str(tmp_path / "theirs") in githttp.git(checkout, "worktree", "list")


async def test_a_directory_within_a_checkout_has_its_place_in_a_worktree(
    tmp_path: Path, checkout: Path
) -> None:
    work = workspace(tmp_path, directory=checkout / "deep/er")
    await work.prepare(unheard)
    made = await work.worktree("123")
    assert made.path == tmp_path / "state/worktrees/123/deep/er"
    (made.path / "b").write_text("3\n")
    assert (await work.diff(made.path)).files == 1
    assert (await work.worktree("123")).path == made.path
    work.close()


async def test_without_git_all_work_in_the_directory(tmp_path: Path) -> None:
    (tmp_path / "workspace").mkdir()
    work = workspace(tmp_path)
    await work.prepare(unheard)
    here = Worktree(tmp_path / "workspace", "", created=False)
    assert [await work.worktree(each) for each in ("main", "123")] == [here, here]
    assert await work.status(here.path) == WorkspaceChanged()
    assert await work.diff(here.path) == DiffResult()
    work.close()


async def test_without_a_commit_all_work_in_the_directory(tmp_path: Path) -> None:
    (tmp_path / "workspace").mkdir()
    githttp.git(tmp_path / "workspace", "init", "--quiet", "--initial-branch=main")
    work = workspace(tmp_path)
    await work.prepare(unheard)
    (work.directory / "new").write_text("1\n2\n")
    assert (await work.worktree("123")).path == work.directory
    assert await work.status(work.directory) == WorkspaceChanged(branch="main", dirty=True)
    found = await work.diff(work.directory)
    assert (found.files, found.insertions, found.branch) == (1, 2, "main")
    work.close()


async def test_git_that_came_later_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "workspace").mkdir()
    work = workspace(tmp_path)
    await work.prepare(unheard)
    githttp.git(work.directory, "init", "--quiet", "--initial-branch=main")
    githttp.commit(work.directory, {"a": "1"})
    assert (await work.worktree("123")).branch == "repobridge/123"
    work.close()
