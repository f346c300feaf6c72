"""The builder of the test cluster's programs, on a tiny Go module that needs no network."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.clustertools import __main__ as program
from tests.clustertools import catalog
from tests.clustertools.build import BuildFailed, build_missing
from tests.clustertools.cache import Cache, ToolMissing, find_tool
from tests.clustertools.catalog import TOOLS, Tool

GO_MOD = """module example.test/clustertools/tiny

go 1.26

tool example.test/hello

require example.test/hello v1.2.3

replace example.test/hello => ./hello
"""
HELLO = """package main

var version = "unknown"

func main() { print("hello ", version) }
"""
BUILDER = """
import sys
from pathlib import Path
from tests.clustertools import catalog
from tests.clustertools.build import build_missing
from tests.clustertools.cache import Cache
catalog.MODULES = Path(sys.argv[1])
tool = catalog.Tool(name="hello", folder="tiny", module="example.test/hello",
                    package="example.test/hello", stamped="main.version")
build_missing([tool], Cache(Path(sys.argv[2])), tell=lambda line: None)
"""


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    """A program of one file."""
    folder = tmp_path / "modules" / "tiny"
    (folder / "hello").mkdir(parents=True)
    (folder / "go.mod").write_text(GO_MOD)
    (folder / "go.sum").write_text("")
    (folder / "hello" / "go.mod").write_text("module example.test/hello\n\ngo 1.26\n")
    (folder / "hello" / "main.go").write_text(HELLO)
    monkeypatch.setattr(catalog, "MODULES", folder.parent)
    return Tool(
        name="hello",
        folder="tiny",
        module="example.test/hello",
        package="example.test/hello",
        stamped="main.version",
    )


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """An empty cache."""
    return Cache(tmp_path / "cache")


def test_builds_a_program_that_knows_its_version(tool: Tool, cache: Cache) -> None:
    told: list[str] = []
    build_missing([tool], cache, tell=told.append)
    found = cache.find(tool)
    assert found is not None
    said = subprocess.run([found], check=True, capture_output=True, text=True)
    assert said.stderr == "hello v1.2.3"
    assert told[0] == "hello v1.2.3: building (once; minutes where nothing is cached) …"
    assert told[-1].startswith("hello v1.2.3: built in ")


def test_builds_nothing_that_is_there(tool: Tool, cache: Cache) -> None:
    build_missing([tool], cache, tell=lambda line: None)
    told: list[str] = []
    build_missing([tool], cache, tell=told.append)
    assert told == []


def test_a_failed_build_says_what_go_said_and_leaves_nothing(tool: Tool, cache: Cache) -> None:
    (tool.directory / "hello" / "main.go").write_text("package main\n\nfunc main() { absent() }\n")
    with pytest.raises(BuildFailed) as caught:
        build_missing([tool], cache, tell=lambda line: None)
    assert str(caught.value).startswith(
        "Go could not build hello v1.2.3 (exit 1). It said:\n# example.test/hello\n"
    )
    assert str(caught.value).endswith("main.go:3:15: undefined: absent")
    assert [path.name for path in cache.folder(tool).iterdir()] == [".lock"]


def test_a_module_that_differs_from_go_sum_is_not_built(tool: Tool, cache: Cache) -> None:
    (tool.directory / "go.mod").write_text(GO_MOD.replace("replace ", "// replace "))
    with pytest.raises(BuildFailed, match=r"missing go\.sum entry"):
        build_missing([tool], cache, tell=lambda line: None)


def test_another_dependency_has_another_place(tool: Tool, cache: Cache) -> None:
    before = cache.folder(tool)
    (tool.directory / "go.sum").write_text("example.test/x v1.0.0 h1:x=\n")
    assert cache.folder(tool) != before


def test_a_second_builder_waits_for_the_first_and_takes_its_result(
    tool: Tool, cache: Cache
) -> None:
    told: list[str] = []
    waits = threading.Event()

    def tell(line: str) -> None:
        told.append(line)
        waits.set()

    second = threading.Thread(target=lambda: build_missing([tool], cache, tell=tell))
    with cache.lock(tool, on_wait=lambda: None):
        second.start()
        assert waits.wait(90)
        with cache.new(tool) as path:
            path.write_text("built by the first")
    second.join(90)
    assert told == ["hello: waiting for another build …"]
    assert (cache.folder(tool) / "hello").read_text() == "built by the first"


@pytest.mark.parametrize(
    ("number", "left"),
    [(signal.SIGKILL, [".lock", ".unfinished-"]), (signal.SIGINT, [".lock"])],
)
def test_a_build_that_is_broken_off_leaves_nothing_half_and_takes_go_with_it(
    tool: Tool, tmp_path: Path, number: signal.Signals, left: list[str]
) -> None:
    """The proxy from which Go wants a module keeps it waiting, so that the signal meets a build."""
    (tool.directory / "go.mod").write_text(GO_MOD.replace("replace ", "// replace "))
    sums = "example.test/hello v1.2.3 h1:{0}=\nexample.test/hello v1.2.3/go.mod h1:{0}=\n"
    (tool.directory / "go.sum").write_text(sums.format("A" * 43))
    cache = Cache(tmp_path / "cache")
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.settimeout(60)
        command = [sys.executable, "-c", BUILDER, str(tool.directory.parent), str(cache.root)]
        environment = {
            **os.environ,
            "GOPROXY": f"http://127.0.0.1:{proxy.getsockname()[1]}",
            "GOMODCACHE": str(tmp_path / "modules-cache"),
            "no_proxy": "127.0.0.1",
        }
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as builder:
            connection, _ = proxy.accept()
            builder.send_signal(number)
        with connection:
            connection.settimeout(60)
            while connection.recv(4096):
                pass
    assert cache.find(tool) is None
    found = sorted(path.name for path in cache.folder(tool).iterdir())
    assert [name[: len(".unfinished-")] for name in found] == left


def test_what_a_killed_builder_left_is_removed_by_the_next(tool: Tool, cache: Cache) -> None:
    left = cache.folder(tool) / ".unfinished-left"
    left.mkdir(parents=True)
    (left / "hello").write_text("half")
    build_missing([tool], cache, tell=lambda line: None)
    assert {path.name for path in cache.folder(tool).iterdir()} == {".lock", "hello"}


def test_a_machines_own_assets_go_first(tmp_path: Path) -> None:
    for name in ("etcd", "kubelet"):
        (tmp_path / name).touch(mode=0o755)
    (tmp_path / "kubectl").touch(mode=0o644)
    cache = Cache.from_environment(
        {"KUBEBUILDER_ASSETS": str(tmp_path), "REPOBRIDGE_CACHE": str(tmp_path / "cache")}
    )
    found = {name: cache.find(TOOLS[name]) for name in ("etcd", "kubectl", "kubelet")}
    assert found == {"etcd": tmp_path / "etcd", "kubectl": None, "kubelet": None}


@pytest.mark.parametrize(
    ("environment", "root"),
    [
        ({"REPOBRIDGE_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a/cluster-tools"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/repobridge/cluster-tools"),
        ({}, f"{Path.home()}/.cache/repobridge/cluster-tools"),
    ],
)
def test_the_cache_is_where_the_environment_says(environment: dict[str, str], root: str) -> None:
    assert Cache.from_environment(environment) == Cache(Path(root))


def test_a_missing_program_says_how_to_build_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPOBRIDGE_CACHE", str(tmp_path))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    with pytest.raises(ToolMissing, match=r"^kubelet is not built yet; run: make cluster-tools$"):
        find_tool("kubelet")


def test_an_unknown_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["etcd", "kubeadm"]) == 2
    assert capsys.readouterr().err == f"Unknown: kubeadm. There are: {', '.join(TOOLS)}.\n"


def test_the_programs_of_one_cluster_have_one_version() -> None:
    versions = {tool.version for tool in TOOLS.values() if tool.module == "k8s.io/kubernetes"}
    assert len(versions) == 1


@pytest.mark.parametrize("tool", TOOLS.values(), ids=lambda tool: tool.name)
def test_go_mod_names_every_program_as_its_tool(tool: Tool) -> None:
    text = (tool.directory / "go.mod").read_text()
    assert re.search(rf"^(?:tool)?\s+{re.escape(tool.package)}$", text, re.MULTILINE)
    assert re.fullmatch(r"v\d+\.\d+\.\d+", tool.version)
