"""A workspace is brought in once, belongs to one bridge, and is used by one runner."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from repobridge.session.events import Phase, WorkspaceChanged
from repobridge_runner.workspace import Prepared, Workspace, WorkspaceError
from tests.fakes import githttp
from tests.unit.runner.gitcases import BRIDGE, credentials_dir, unheard, workspace

ROOT = Path(__file__).parents[3]
FILES: dict[str, str | bytes] = {"README.md": "hello\n", "src/main.py": "print()\n"}


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    return githttp.make_repository(tmp_path / "served/shop.git", FILES)


def names(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


async def reason_of(work: Workspace) -> str:
    with pytest.raises(WorkspaceError) as caught:
        await work.prepare(unheard)
    return caught.value.reason


async def test_a_clone_is_partial_and_reports_its_progress(origin: Path, tmp_path: Path) -> None:
    heard: list[tuple[Phase, str]] = []
    async with githttp.serve(origin.parent) as server:
        work = workspace(
            tmp_path,
            repository_url=f"{server.url}/shop.git/.git",
            credentials_dir=credentials_dir(tmp_path / "secret"),
        )
        prepared = await work.prepare(lambda *each: heard.append(each))
        work.close()
    checkout = tmp_path / "workspace"
    assert prepared == Prepared(cloned=True)
    assert names(checkout) == [".git", "README.md", "src"]
    assert githttp.git(checkout, "status", "--porcelain", "--branch") == "## main...origin/main"
    assert githttp.git(checkout, "config", "remote.origin.partialclonefilter") == "blob:none"
    assert heard[0] == (Phase.CLONING, f"Connecting to {server.url.removeprefix('http://')}")
    assert (Phase.CLONING, "Receiving objects: 100 %") in heard
    assert len(heard) == len(set(heard))


async def test_an_existing_checkout_is_fetched_and_its_files_stay(
    origin: Path, tmp_path: Path
) -> None:
    url = f"file://{origin}"
    work = workspace(tmp_path, repository_url=url)
    await work.prepare(unheard)
    work.close()
    (tmp_path / "workspace/README.md").write_text("mine\n")
    newest = githttp.commit(origin, {"later": "x"})

    heard: list[tuple[Phase, str]] = []
    again = workspace(tmp_path, repository_url=url)
    assert await again.prepare(lambda *each: heard.append(each)) == Prepared()
    assert heard[0] == (Phase.FETCHING, "Looking for new commits")
    assert (tmp_path / "workspace/README.md").read_text() == "mine\n"
    status = await again.status(again.directory)
    first = githttp.git(origin, "rev-parse", "HEAD~1")
    assert status == WorkspaceChanged(branch="main", head=first, dirty=True, behind=1)
    assert githttp.git(tmp_path / "workspace", "rev-parse", "origin/main") == newest
    again.close()


async def test_a_fetch_that_fails_leaves_a_usable_checkout(origin: Path, tmp_path: Path) -> None:
    url = f"file://{origin}"
    work = workspace(tmp_path, repository_url=url)
    await work.prepare(unheard)
    work.close()
    origin.rename(tmp_path / "gone")
    again = workspace(tmp_path, repository_url=url)
    prepared = await again.prepare(unheard)
    assert prepared.warning.startswith("Nothing new could be fetched: fatal:")
    again.close()


@pytest.mark.parametrize(
    ("ref", "status"),
    [
        ("side", "## side...origin/side"),
        ("refs/heads/side", "## side...origin/side"),
        ("v1", "## HEAD (no branch)"),
        ("COMMIT", "## HEAD (no branch)"),
    ],
)
async def test_a_ref_is_a_branch_a_tag_or_a_commit(
    origin: Path, tmp_path: Path, ref: str, status: str
) -> None:
    githttp.git(origin, "branch", "side")
    githttp.git(origin, "tag", "v1")
    ref = githttp.git(origin, "rev-parse", "HEAD") if ref == "COMMIT" else ref
    work = workspace(tmp_path, repository_url=f"file://{origin}", ref=ref)
    await work.prepare(unheard)
    work.close()
    assert githttp.git(tmp_path / "workspace", "status", "-b", "--porcelain") == status
    assert (tmp_path / "workspace/src/main.py").read_text() == "print()\n"


@pytest.mark.parametrize("ref", ["nowhere", "--upload-pack=x", "0123456789abcdef"])
async def test_a_ref_that_is_not_there_is_named(origin: Path, tmp_path: Path, ref: str) -> None:
    work = workspace(tmp_path, repository_url=f"file://{origin}", ref=ref)
    with pytest.raises(WorkspaceError) as caught:
        await work.prepare(unheard)
    assert (caught.value.reason, caught.value.sentence) == (
        "CloneFailed",
        f"The repository has no branch, tag or commit {ref!r}.",
    )
    assert names(tmp_path / "workspace") == []


async def test_an_empty_repository_is_cloned(tmp_path: Path) -> None:
    origin = tmp_path / "empty"
    origin.mkdir()
    githttp.git(origin, "init", "--quiet", "--initial-branch=main")
    work = workspace(tmp_path, repository_url=f"file://{origin}")
    assert await work.prepare(unheard) == Prepared(cloned=True)
    thread = await work.worktree("thread")
    assert (thread.path, thread.branch, thread.created) == (work.directory, "main", False)
    assert await work.status(work.directory) == WorkspaceChanged(branch="main")
    work.close()


async def test_a_missing_repository_gives_gits_last_line(tmp_path: Path) -> None:
    work = workspace(tmp_path, repository_url=f"file://{tmp_path}/nowhere")
    with pytest.raises(WorkspaceError) as caught:
        await work.prepare(unheard)
    assert caught.value.reason == "CloneFailed"
    assert "does not appear to be a git repository" in caught.value.sentence
    assert names(tmp_path / "workspace") == []


async def test_a_server_that_wants_credentials_says_so(origin: Path, tmp_path: Path) -> None:
    async with githttp.serve(origin.parent) as server:
        url = f"{server.url}/shop.git/.git"
        assert await reason_of(workspace(tmp_path, repository_url=url)) == "CredentialsMissing"
        wrong = credentials_dir(tmp_path / "wrong", username="x", password="not the one")
        work = workspace(tmp_path, repository_url=url, credentials_dir=wrong)
        with pytest.raises(WorkspaceError) as caught:
            await work.prepare(unheard)
    assert caught.value.reason == "CloneFailed"
    assert "Authentication failed" in caught.value.sentence
    assert "not the one" not in caught.value.sentence


CLONE_AND_HANG = """
    import asyncio, sys
    from pathlib import Path
    from repobridge_runner import clone
    from tests.unit.runner.gitcases import unheard, workspace
    step, tmp_path, url = sys.argv[1], Path(sys.argv[2]), sys.argv[3]

    def hang(*_):
        print("stands", flush=True)
        sys.stdin.read()

    if step == "moving":
        move, count = Path.rename, 0
        def rename(self, target):
            global count
            count += 1
            if count == 3:
                hang()
            return move(self, target)
        Path.rename = rename
    elif step == "complete":
        clone._move_up = hang
    elif step == "checkout":
        clone._check_out = hang
    asyncio.run(workspace(tmp_path, repository_url=url).prepare(unheard))
"""


@pytest.mark.parametrize("step", ["checkout", "complete", "moving"])
async def test_a_clone_killed_at_any_step_is_recovered(
    origin: Path, tmp_path: Path, step: str
) -> None:
    url = f"file://{origin}"
    script = textwrap.dedent(CLONE_AND_HANG)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/core:{ROOT}/session-runner"}
    with subprocess.Popen(
        [sys.executable, "-c", script, step, str(tmp_path), url],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as victim:
        assert victim.stdout is not None
        assert victim.stdout.readline() == b"stands\n"
        victim.send_signal(signal.SIGKILL)
    left = names(tmp_path / "workspace")
    assert ".git" not in left
    assert any(name.startswith(".repobridge-clone") for name in left)

    work = workspace(tmp_path, repository_url=url)
    prepared = await work.prepare(unheard)
    work.close()
    assert prepared == Prepared(cloned=step == "checkout")
    assert names(tmp_path / "workspace") == [".git", "README.md", "src"]
    assert githttp.git(tmp_path / "workspace", "status", "--porcelain") == ""


async def test_a_cancelled_clone_leaves_neither_files_nor_processes(
    origin: Path, tmp_path: Path
) -> None:
    async with githttp.serve(origin.parent) as server:
        server.gate.clear()
        work = workspace(
            tmp_path,
            repository_url=f"{server.url}/shop.git/.git",
            credentials_dir=credentials_dir(tmp_path / "secret"),
        )
        task = asyncio.create_task(work.prepare(unheard))
        await asyncio.wait_for(server.packing.wait(), 90)
        assert git_children(str(tmp_path))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # They were killed; the kernel may take a moment to have them gone.
        async with asyncio.timeout(60):
            while git_children(str(tmp_path)):
                await asyncio.sleep(0.01)
    assert names(tmp_path / "workspace") == []


def git_children(mark: str) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_text() if entry.name.isdigit() else ""
        except OSError:
            continue
        if mark in line and "git" in line.split("\0")[0]:
            found.append(line)
    return found


async def test_a_workspace_of_another_bridge_is_refused(origin: Path, tmp_path: Path) -> None:
    url = f"file://{origin}"
    work = workspace(tmp_path, repository_url=url)
    await work.prepare(unheard)
    work.close()
    other = "00000000-0000-4000-8000-000000000000"
    same_volume = workspace(tmp_path, repository_url=url, bridge_uid=other)
    assert await reason_of(same_volume) == "WorkspaceForeign"
    only_checkout = workspace(
        tmp_path, repository_url=url, bridge_uid=other, state_dir=tmp_path / "fresh"
    )
    assert await reason_of(only_checkout) == "WorkspaceForeign"
    other_url = workspace(
        tmp_path, repository_url=f"file://{origin}/../x", state_dir=tmp_path / "fresh2"
    )
    assert await reason_of(other_url) == "WorkspaceForeign"
    await work.prepare(unheard)
    work.close()


async def test_a_directory_with_something_else_in_it_is_not_touched(
    origin: Path, tmp_path: Path
) -> None:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace/thesis.tex").write_text("years of work")
    work = workspace(tmp_path, repository_url=f"file://{origin}")
    assert await reason_of(work) == "WorkspaceForeign"
    assert names(tmp_path / "workspace") == ["thesis.tex"]


async def test_a_checkout_that_was_put_there_is_adopted_if_it_is_the_one(
    origin: Path, tmp_path: Path
) -> None:
    githttp.git(tmp_path, "clone", "--quiet", f"file://{origin}", "workspace")
    wrong = workspace(tmp_path, repository_url=f"file://{tmp_path}/y")
    assert await reason_of(wrong) == "WorkspaceForeign"
    right = workspace(tmp_path, repository_url=f"file://{origin}", state_dir=tmp_path / "state2")
    assert await right.prepare(unheard) == Prepared()
    right.close()
    identity = json.loads((tmp_path / "workspace/.git/repobridge.json").read_text())
    assert identity == {"bridge_uid": BRIDGE, "repository_url": f"file://{origin}"}


@pytest.mark.parametrize("place", ["repobridge.json", "repobridge.json.new"])
async def test_what_an_agent_laid_out_is_not_written_through(
    origin: Path, tmp_path: Path, place: str
) -> None:
    work = workspace(tmp_path, repository_url=f"file://{origin}")
    await work.prepare(unheard)
    work.close()
    (tmp_path / "precious").write_text("x")
    (tmp_path / "workspace/.git/repobridge.json").unlink()
    (tmp_path / "workspace/.git" / place).symlink_to(tmp_path / "precious")
    (tmp_path / "workspace/.repobridge-cloned/.git").mkdir(parents=True)
    refused = place == "repobridge.json"
    if refused:
        assert await reason_of(work) == "WorkspaceForeign"
    else:
        assert await work.prepare(unheard) == Prepared()
    work.close()
    assert (tmp_path / "precious").read_text() == "x"


async def test_an_identity_that_became_a_pipe_holds_nobody(origin: Path, tmp_path: Path) -> None:
    work = workspace(tmp_path, repository_url=f"file://{origin}")
    await work.prepare(unheard)
    work.close()
    (tmp_path / "workspace/.git/repobridge.json").unlink()
    os.mkfifo(tmp_path / "workspace/.git/repobridge.json")
    assert await reason_of(work) == "WorkspaceForeign"


async def test_local_mode_leaves_nothing_in_the_checkout(origin: Path, tmp_path: Path) -> None:
    before = sorted(path.relative_to(origin) for path in origin.rglob("*"))
    work = workspace(tmp_path, directory=origin)
    assert await work.prepare(unheard) == Prepared()
    assert work.directory == origin
    assert work.git_environment() == {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.fsmonitor",
        "GIT_CONFIG_VALUE_0": "false",
    }
    assert sorted(path.relative_to(origin) for path in origin.rglob("*")) == before
    assert json.loads((tmp_path / "state/workspace.json").read_text()) == {
        "bridge_uid": BRIDGE,
        "repository_url": "",
    }
    work.close()


async def test_a_second_runner_is_refused_and_told_who_holds_it(
    origin: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(origin)
    first = workspace(tmp_path, directory=origin)
    await first.prepare(unheard)
    second = workspace(tmp_path, directory=tmp_path / "link", state_dir=tmp_path / "other")
    with pytest.raises(WorkspaceError) as caught:
        await second.prepare(unheard)
    assert (caught.value.reason, caught.value.sentence) == (
        "WorkspaceLocked",
        f"Another runner uses {origin}: process {os.getpid()} holds it; stop that one first.",
    )
    first.close()
    await second.prepare(unheard)
    second.close()


async def test_children_do_not_inherit_the_lock(tmp_path: Path) -> None:
    (tmp_path / "workspace").mkdir()
    work = workspace(tmp_path)
    await work.prepare(unheard)
    with subprocess.Popen(["sleep", "60"], close_fds=False) as child:
        work.close()
        await work.prepare(unheard)
        work.close()
        child.kill()


@pytest.mark.parametrize(
    ("path", "roots", "text"),
    [
        ("missing", (), "does not exist"),
        ("workspace", ("elsewhere",), "outside the allowed roots"),
    ],
)
async def test_a_directory_that_is_not_allowed_is_refused(
    tmp_path: Path, path: str, roots: tuple[str, ...], text: str
) -> None:
    (tmp_path / "workspace").mkdir()
    work = workspace(
        tmp_path, directory=tmp_path / path, allowed_roots=tuple(tmp_path / r for r in roots)
    )
    with pytest.raises(WorkspaceError) as caught:
        await work.prepare(unheard)
    assert caught.value.reason == "WorkingDirRefused"
    assert text in caught.value.sentence


FULL_DISK = """
    import asyncio, subprocess, sys
    from pathlib import Path
    from tests.unit.runner.gitcases import unheard, workspace
    from repobridge_runner.workspace import WorkspaceError
    tmp_path, url = Path(sys.argv[1]), sys.argv[2]
    (tmp_path / "workspace").mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(tmp_path / "workspace")], check=True
    )
    try:
        asyncio.run(workspace(tmp_path, repository_url=url).prepare(unheard))
    except WorkspaceError as error:
        print(error.reason, [each.name for each in (tmp_path / "workspace").iterdir()])
"""


async def test_a_full_volume_has_its_own_name(origin: Path, tmp_path: Path) -> None:
    githttp.commit(origin, {"large": os.urandom(2 << 20)})
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/core:{ROOT}/session-runner"}
    for alone in (["unshare", "--mount"], ["unshare", "--map-root-user", "--mount"]):
        if await asyncio.to_thread(subprocess.call, [*alone, "mount", "--version"]) == 0:
            break
    words = [*alone, sys.executable, "-c", textwrap.dedent(FULL_DISK), str(tmp_path)]
    done = await asyncio.to_thread(
        subprocess.run, [*words, f"file://{origin}"], env=environment, stdout=subprocess.PIPE
    )
    assert (done.returncode, done.stdout) == (0, b"WorkspaceFull []\n")


async def test_no_program_of_the_homes_configuration_is_run(origin: Path, tmp_path: Path) -> None:
    # In a pod the agent can write in the home that the runner's git has too.
    home = tmp_path / "home"
    home.mkdir()
    run = f"touch {tmp_path}/sprung; cat"
    (home / ".gitconfig").write_text(
        f'[filter "evil"]\n clean = "{run}"\n smudge = "{run}"\n[diff]\n external = "{run}"\n'
    )
    work = workspace(tmp_path, repository_url=f"file://{origin}")
    await work.prepare(unheard)
    (tmp_path / "workspace/.gitattributes").write_text("* filter=evil\n")
    (tmp_path / "workspace/README.md").write_text("changed\n")
    assert (await work.status(work.directory)).dirty
    assert "+changed" in (await work.diff(work.directory)).unified
    await work.worktree("123")
    work.close()
    assert not (tmp_path / "sprung").exists()
