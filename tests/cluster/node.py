"""containerd, the kubelet and the proxy: what makes one machine a node."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from tests.cluster import cgroups
from tests.cluster.addresses import NODE_ADDRESS, NODE_NAME, POD_RANGE
from tests.cluster.control_plane import Credentials
from tests.cluster.daemons import Daemon
from tests.cluster.packages import Programs
from tests.cluster.periods import Periods
from tests.cluster.probe_image import PROBE_IMAGE

CONTAINERD_SOCKET = Path("/run/containerd/containerd.sock")
"""Inside the cluster's mounts, where /run is its own."""
IMAGES_NAMESPACE = "k8s.io"
"""containerd's own word for where the kubelet looks."""


def make_containerd(programs: Programs, directory: Path) -> Daemon:
    """containerd with its state in the cluster's directory, and pods on a bridge."""
    directory.mkdir()
    networks = directory / "networks"
    networks.mkdir()
    (networks / "10-bridge.conflist").write_text(json.dumps(_network(), indent=2))
    config = directory / "config.toml"
    config.write_text(_containerd_config(programs, directory, networks))
    return Daemon("containerd", [programs.containerd, "--config", config])


def make_import(archive: Path) -> Daemon:
    """Brings the images of an OCI archive to where the kubelet looks."""
    client: list[str | Path] = [
        "ctr",
        "--address",
        CONTAINERD_SOCKET,
        "--namespace",
        IMAGES_NAMESPACE,
    ]
    return Daemon("import", [*client, "images", "import", archive])


def make_kubelet(
    program: Path,
    *,
    directory: Path,
    cluster: str,
    credentials: Credentials,
    periods: Periods,
    dns: str,
) -> Daemon:
    """The kubelet, below a control group of the cluster's own."""
    directory.mkdir()
    resolv = directory / "resolv.conf"
    resolv.write_text(f"nameserver {dns}\n")
    config = directory / "config.yaml"
    settings = _kubelet_config(
        directory=directory, cluster=cluster, credentials=credentials, periods=periods, dns=dns
    )
    settings["resolvConf"] = str(resolv)
    config.write_text(yaml.safe_dump(settings, sort_keys=False))
    return Daemon(
        "kubelet",
        [
            program,
            f"--config={config}",
            f"--kubeconfig={credentials.kubelet}",
            f"--root-dir={directory / 'root'}",
            f"--hostname-override={NODE_NAME}",
            f"--node-ip={NODE_ADDRESS}",
        ],
    )


def make_proxy(program: Path, *, directory: Path, credentials: Credentials) -> Daemon:
    """kube-proxy in nftables, so that Services have their addresses."""
    directory.mkdir()
    config = directory / "config.yaml"
    settings = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": str(credentials.proxy)},
        "hostnameOverride": NODE_NAME,
        "clusterCIDR": POD_RANGE,
        "bindAddress": NODE_ADDRESS,
        "metricsBindAddress": "127.0.0.1:10249",
        "healthzBindAddress": "127.0.0.1:10256",
        # A pod that reaches itself or a neighbour through a Service must get the answer back
        # through the node, which alone knows the translation.
        "nftables": {"masqueradeAll": True},
        # The machine's own limits are not this namespace's to set.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    }
    config.write_text(yaml.safe_dump(settings, sort_keys=False))
    return Daemon("kube-proxy", [program, f"--config={config}"])


def _network() -> dict[str, object]:
    return {
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": True,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "dataDir": "/run/cni-addresses",
                    "ranges": [[{"subnet": POD_RANGE}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def _containerd_config(programs: Programs, directory: Path, networks: Path) -> str:
    # Without restrict_oom_score_adj a sandbox fails where the machine forbids lower scores.
    return f"""\
version = 2
root = "{directory / "root"}"
state = "/run/containerd"
oom_score = 0

[grpc]
  address = "{CONTAINERD_SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PROBE_IMAGE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{programs.plugins}"
    conf_dir = "{networks}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      BinaryName = "{programs.runc}"
      SystemdCgroup = false
"""


def _kubelet_config(
    *, directory: Path, cluster: str, credentials: Credentials, periods: Periods, dns: str
) -> dict[str, object]:
    server = credentials.kubelet_server
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "address": NODE_ADDRESS,
        "healthzBindAddress": "127.0.0.1",
        "authentication": {
            "anonymous": {"enabled": False},
            "x509": {"clientCAFile": str(credentials.authority)},
        },
        "tlsCertFile": str(server.certificate),
        "tlsPrivateKeyFile": str(server.key),
        "podLogsDir": str(directory / "pod-logs"),
        "volumePluginDir": str(directory / "volume-plugins"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroups.group_name(cluster),
        "failCgroupV1": False,
        "failSwapOn": False,
        "clusterDNS": [dns],
        "clusterDomain": "cluster.local",
        "nodeStatusUpdateFrequency": f"{periods.status_seconds}s",
        "nodeStatusReportFrequency": f"{periods.status_seconds * 10}s",
        "nodeLeaseDurationSeconds": periods.lease_seconds,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "imagefs.available": "1%",
            "nodefs.inodesFree": "1%",
        },
        # The images of a test machine come from files: the kubelet must not tidy them away.
        "imageGCHighThresholdPercent": 100,
    }
