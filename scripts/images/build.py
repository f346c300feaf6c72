"""The images, built when something that goes into them changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.images import base
from scripts.images.builder import Builder
from scripts.images.cache import Cache
from scripts.images.contents import ROOT, content_key, copy_contents
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

    @property
    def are_built(self) -> bool:
        """Whether both archives are there."""
        return all(image.archive.exists() for image in self)

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
    images = _find(cache, root, tag)
    if images.are_built:
        return images
    ensure_programs(say)
    with cache.lock(lambda: say("waiting for another build of the images …")), cache.work() as work:
        context = work / "context"
        copy_contents(root, context)
        images = _find(cache, context, tag)
        if not images.are_built:
            _build(images, work=work, cache=cache, environment=environment, say=say)
    return images


def _find(cache: Cache, root: Path, tag: str) -> Images:
    key = content_key(root, base.NAME, tag)
    control_plane, session_runner = (
        Image(f"localhost/repobridge/{target}:{tag}", cache.archive(key, target))
        for target in TARGETS
    )
    return Images(control_plane, session_runner)


def _build(
    images: Images,
    *,
    work: Path,
    cache: Cache,
    environment: Mapping[str, str],
    say: Callable[[str], None],
) -> None:
    path = os.pathsep.join((environment.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    builder = Builder(cache.store, cache.log, {**environment, "PATH": path})
    cache.log.unlink(missing_ok=True)
    base.ensure_base(builder, work=work, say=say)
    script = work / "machine"
    script.touch(mode=0o600)
    script.write_text(make_script(read_machine(environment, home=Path.home(), etc=Path("/etc"))))
    for image, target in zip(images, TARGETS, strict=True):
        say(f"building {image.name} …")
        builder.build(
            work / "context", target=target, name=image.name, base=base.NAME, script=script
        )
        builder.export(image.name, work / "archive")
        cache.keep(work / "archive", image.archive)
    builder.tidy()
