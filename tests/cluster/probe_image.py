"""The node's own image: one static program in an OCI archive that is put together by hand.

It is what holds a pod's namespaces open (the "pause" of other clusters), and what tests run where
the project's images would only be slower.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path

PROBE_IMAGE = "localhost/repobridge-probe:1"
PROBE = "/probe"
_SOURCE = Path(__file__).parent / "probe"
_OCI = "application/vnd.oci.image"


def build_probe(*, go: Path, cache: Path) -> Path:
    """Returns an OCI archive of the image, made at the first call for this source.

    Beside it lies the program alone, as `probe`.
    """
    source = b"".join((_SOURCE / name).read_bytes() for name in ("go.mod", "main.go"))
    archive = cache / "cluster-probe" / hashlib.sha256(source).hexdigest()[:16] / "probe.tar"
    if archive.exists():
        return archive
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archive.parent) as scratch:
        program = Path(scratch) / "probe"
        _compile(go, program)
        fresh = Path(scratch) / "probe.tar"
        fresh.write_bytes(make_archive(program.read_bytes(), name=PROBE_IMAGE))
        program.rename(archive.with_name("probe"))
        fresh.rename(archive)
    return archive


def _compile(go: Path, program: Path) -> None:
    subprocess.run(
        [go, "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "."],
        cwd=_SOURCE,
        env=os.environ
        | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off"},
        check=True,
    )


def make_archive(program: bytes, *, name: str) -> bytes:
    """An OCI archive of an image by that name, with one layer that holds one program."""
    layer = _tar({PROBE[1:]: program}, mode=0o755)
    packed = gzip.compress(layer, mtime=0)
    config = _json(
        {
            "architecture": _architecture(),
            "os": "linux",
            "config": {"Entrypoint": [PROBE], "Cmd": ["hold"], "User": "65534:65534"},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": f"{_OCI}.manifest.v1+json",
            "config": _descriptor(f"{_OCI}.config.v1+json", config),
            "layers": [_descriptor(f"{_OCI}.layer.v1.tar+gzip", packed)],
        }
    )
    named = _descriptor(f"{_OCI}.manifest.v1+json", manifest) | {
        "annotations": {"org.opencontainers.image.ref.name": name}
    }
    blobs = {f"blobs/sha256/{_digest(blob)[7:]}": blob for blob in (packed, config, manifest)}
    return _tar(
        {
            "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
            "index.json": _json({"schemaVersion": 2, "manifests": [named]}),
            **blobs,
        },
        mode=0o644,
    )


def _architecture() -> str:
    machine = os.uname().machine
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def _descriptor(media_type: str, blob: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": _digest(blob), "size": len(blob)}


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _tar(files: dict[str, bytes], *, mode: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = mode
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
