"""A kubeconfig for one server and one bearer token."""

from __future__ import annotations

import json
from pathlib import Path


def write_kubeconfig(
    path: Path, *, url: str, ca_file: Path, token: str, namespace: str = "default"
) -> Path:
    """Writes the file for its owner only; JSON is YAML too. Returns the path."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "test", "cluster": {"server": url, "certificate-authority": str(ca_file)}}
        ],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [
            {"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}
        ],
        "current-context": "test",
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(config, indent=1))
    return path
