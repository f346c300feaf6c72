"""The images, built when something that goes into them changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.images import base
from scripts.images.builder import Builder
from scripts.images.cache import Cache
from scripts.images.contents import ROOT, content_key
from scripts.images.machine import make_script, read_machine
from scripts.images.packages import ensure_programs

DEFAULT_TAG = "test"
TARGETS = ("control-plane", "session-runner")


@dataclass(frozen=True)
class Image:
    """One built image."""

    name: str
    """As pods name it."""
    archive: Path
    """An OCI archive, for `ctr images import`."""


@dataclass(frozen=True)
class Images:
    """Both images."""

    control_plane: Image
    session_runner: Image

    def __iter__(self) -> Iterator[Image]:
        yield self.control_plane
        yield self.session_runner


def build_images(
    cache: Cache,
    *,
    environment: Mapping[str, str],
    say: Callable[[str], None],
    tag: str = DEFAULT_TAG,
    root: Path = ROOT,
) -> Images:
    """Builds what is not in the cache; raises ImagesError. Only a build needs root."""
    key = content_key(root, base.NAME, tag)
    images = [
        Image(f"localhost/repobridge/{target}:{tag}", cache.archive(key, target))
        for target in TARGETS
    ]
    if not all(image.archive.exists() for image in images):
        ensure_programs(say)
        with cache.lock(lambda: say("waiting for another build of the images …")):
            _build(images, cache=cache, environment=environment, say=say, root=root)
    control_plane, session_runner = images
    return Images(control_plane, session_runner)


def _build(
    images: list[Image],
    *,
    cache: Cache,
    environment: Mapping[str, str],
    say: Callable[[str], None],
    root: Path,
) -> None:
    path = os.pathsep.join((environment.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    builder = Builder(cache.store, cache.log, {**environment, "PATH": path})
    cache.log.unlink(missing_ok=True)
    with cache.work() as work:
        base.ensure_base(builder, work=work, say=say)
        script = work / "machine"
        machine = read_machine(environment, home=Path.home(), etc=Path("/etc"))
        script.touch(mode=0o600)
        script.write_text(make_script(machine))
        for image, target in zip(images, TARGETS, strict=True):
            if image.archive.exists():
                continue
            say(f"building {image.name} …")
            builder.build(
                root, target=target, name=image.name, base=base.NAME, secrets={"machine": script}
            )
            builder.export(image.name, work / "archive")
            cache.keep(work / "archive", image.archive)
        builder.tidy()
