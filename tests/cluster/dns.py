"""CoreDNS at the node's address: Services by name; every other name fails at once."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.addresses import NODE_ADDRESS
from tests.cluster.daemons import Daemon


def make_dns(program: Path, directory: Path, kubeconfig: Path) -> Daemon:
    """CoreDNS with the names of the cluster alone."""
    directory.mkdir()
    corefile = directory / "Corefile"
    corefile.write_text(f"""\
.:53 {{
    bind {NODE_ADDRESS}
    errors
    kubernetes cluster.local {{
        kubeconfig {kubeconfig}
    }}
}}
""")
    return Daemon("coredns", [program, "-conf", corefile])
