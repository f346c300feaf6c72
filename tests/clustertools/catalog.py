"""Which programs there are: the Go module that builds each, and what is stamped into it.

The folders beside this file are the one place for versions: each holds the go.mod and go.sum of one
set of programs. What a program says of its own version is read from there.
"""

from __future__ import annotations

import hashlib
import platform
import re
from dataclasses import dataclass
from pathlib import Path

MODULES = Path(__file__).parent
_KUBERNETES_STAMPED = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
"""The packages whose variables tell versions, of servers and of clients."""


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One program."""

    name: str
    folder: str
    """The folder beside this file whose go.mod has the program's version."""
    module: str
    """The Go module that holds the program; its version is the program's."""
    package: str
    stamped: str | None = None
    """The variable that holds the version, for a program that does not know it otherwise."""

    @property
    def directory(self) -> Path:
        """Where `go build` runs."""
        return MODULES / self.folder

    @property
    def version(self) -> str:
        """The version that go.mod requires, as `v1.2.3`."""
        text = (self.directory / "go.mod").read_text()
        found = re.search(rf"^(?:require)?\s+{re.escape(self.module)} (v\S+)", text, re.MULTILINE)
        if found is None:
            raise LookupError(f"{self.directory / 'go.mod'} does not require {self.module}")
        return found[1]

    @property
    def key(self) -> str:
        """Names the results of this set: another version, dependency or platform has another."""
        digest = hashlib.sha256()
        for name in ("go.mod", "go.sum"):
            digest.update((self.directory / name).read_bytes())
        digest.update(self.linker_flags.encode())
        digest.update(f"{platform.system()} {platform.machine()}".encode())
        return f"{self.folder}-{digest.hexdigest()[:16]}"

    @property
    def linker_flags(self) -> str:
        """`-ldflags`: no symbol tables, and the version where a program would not know it."""
        return " ".join(["-s -w", *(f"-X {name}={value}" for name, value in self._stamps())])

    def _stamps(self) -> list[tuple[str, str]]:
        if self.module == "k8s.io/kubernetes":
            return _kubernetes_stamps(self.version)
        return [] if self.stamped is None else [(self.stamped, self.version)]


def _kubernetes_stamps(version: str) -> list[tuple[str, str]]:
    major, minor, _ = version.removeprefix("v").split(".", 2)
    return [
        (f"{package}.{variable}", value)
        for package in _KUBERNETES_STAMPED
        for variable, value in (
            ("gitVersion", version),
            ("gitMajor", major),
            ("gitMinor", minor),
            ("gitTreeState", "clean"),
        )
    ]


def _kubernetes(name: str) -> Tool:
    return Tool(
        name=name,
        folder="kubernetes",
        module="k8s.io/kubernetes",
        package=f"k8s.io/kubernetes/cmd/{name}",
    )


TOOLS = {
    tool.name: tool
    for tool in (
        Tool(
            name="etcd",
            folder="etcd",
            module="go.etcd.io/etcd/server/v3",
            package="go.etcd.io/etcd/server/v3",
        ),
        # The API server first: it pays for the packages that the others share.
        _kubernetes("kube-apiserver"),
        _kubernetes("kubectl"),
        _kubernetes("kube-controller-manager"),
        _kubernetes("kube-scheduler"),
        _kubernetes("kubelet"),
        _kubernetes("kube-proxy"),
        Tool(
            name="helm",
            folder="helm",
            module="helm.sh/helm/v4",
            package="helm.sh/helm/v4/cmd/helm",
            stamped="helm.sh/helm/v4/internal/version.version",
        ),
        Tool(
            name="kubeconform",
            folder="helm",
            module="github.com/yannh/kubeconform",
            package="github.com/yannh/kubeconform/cmd/kubeconform",
            stamped="main.version",
        ),
        Tool(
            name="local-path-provisioner",
            folder="local-path-provisioner",
            module="github.com/rancher/local-path-provisioner",
            package="github.com/rancher/local-path-provisioner",
        ),
        Tool(
            name="coredns",
            folder="coredns",
            module="github.com/coredns/coredns",
            package="github.com/coredns/coredns",
        ),
    )
}
"""By name, in the order in which they are built when all are wanted."""
