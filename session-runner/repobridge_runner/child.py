"""One child process: started through the launcher, watched by its pidfd, reaped only at the end.

Its zombie is kept until everything that it left behind is gone: as long as it stands, its pid and
its process group can be nobody else's, so that no signal reaches a stranger.
"""

from __future__ import annotations

import asyncio
import errno
import marshal
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from repobridge.errors import RepoBridgeError
from repobridge_runner import launch, reaper
from repobridge_runner.tree import TREE_VARIABLE, Tree, kill_process

if TYPE_CHECKING:
    from repobridge_runner.launch import Spec

_SWEEPS = 100
_SWEEP_PAUSE_SECONDS = 0.02
_SENTENCES = {
    errno.ENOENT: "There is no such file.",
    errno.EACCES: "It is not executable for this user, or a directory on the way is closed.",
    errno.ENOEXEC: "It is no program for this machine: wrong architecture, or no #! line.",
    errno.ETXTBSY: "It is being written right now.",
    errno.E2BIG: "Its arguments and environment are too long.",
}


class LaunchFailed(RepoBridgeError):
    """A program could not be started."""

    def __init__(self, path: Path, sentence: str) -> None:
        super().__init__(f"{path}: {sentence}")
        self.path = path
        self.sentence = sentence


@dataclass(frozen=True)
class ExitStatus:
    """How a child ended: by an exit code, or by a signal."""

    code: int | None
    signal: int | None
    out_of_memory: bool = False


class Child:
    """A running child that leads a session of its own."""

    def __init__(self, process: subprocess.Popen[bytes], tree: Tree) -> None:
        reaper.own(process.pid)
        self.pid = process.pid
        self._process = process
        self._tree = tree
        self._killing = asyncio.Lock()
        self._reaped = False
        self._exited: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()
        self._watch()

    @classmethod
    async def start(
        cls,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path,
        terminal: int,
        closed_directories: Sequence[Path] = (),
    ) -> Child:
        """Starts a program on the terminal; raises LaunchFailed.

        Call it in the thread that lives as long as the program shall: the kernel kills the child
        when the thread that started it ends.
        """
        path = _find(argv[0], environment, directory)
        closed = _resolved(closed_directories)
        _check_places(path, directory, closed)
        mark = os.urandom(8).hex()  # tells its tree from others', no secret
        spec: Spec = {
            "argv": [os.fsencode(path), *(os.fsencode(word) for word in argv[1:])],
            "environment": _encoded({**environment, TREE_VARIABLE: mark}),
            "parent": os.getpid(),
            "closed": [os.fsencode(each) for each in closed],
        }
        status, launcher_status = os.pipe()
        try:
            try:
                process = _popen(spec, directory, terminal, launcher_status)
            finally:
                os.close(launcher_status)
            child = cls(process, Tree(process.pid, mark))
            try:
                told = await _read_to_end(status)
            except BaseException:
                await child.kill()
                raise
        finally:
            os.close(status)
        if told != b"E":
            exit_status = await child.kill()
            raise LaunchFailed(path, _sentence(path, told, exit_status))
        return child

    async def exited(self) -> ExitStatus:
        """Waits until the child has ended; it is not reaped by that."""
        return await asyncio.shield(self._exited)

    def signal(self, number: int) -> None:
        """Signals the child's process group; nothing happens once it is reaped."""
        if self._reaped:
            return
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            pass

    async def kill(self) -> ExitStatus:
        """Kills the child and everything that it left, reaps it, and returns how it ended."""
        async with self._killing:
            if not self._reaped:
                await self._kill_tree()
                self._reaped = True
                self._process.wait()
                reaper.disown(self.pid)
        return await self.exited()

    async def _kill_tree(self) -> None:
        # Listed before the child dies: then what is below it moves to us, and only its session
        # and its mark still tell whose it was.
        remains = await asyncio.to_thread(self._tree.living)
        self.signal(signal.SIGKILL)
        # A process may fork between being listed and being killed; one in an uninterruptible
        # sleep dies late. So: several looks, but not for ever.
        for _ in range(_SWEEPS):
            for process in remains:
                kill_process(process)
            await self.exited()
            remains = await asyncio.to_thread(self._tree.living)
            if not remains:
                return
            await asyncio.sleep(_SWEEP_PAUSE_SECONDS)

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            descriptor = os.pidfd_open(self.pid)
        except (AttributeError, OSError):
            threading.Thread(target=self._wait_in_thread, args=(loop,), daemon=True).start()
            return

        def ended() -> None:
            loop.remove_reader(descriptor)
            os.close(descriptor)
            self._note_exit()

        loop.add_reader(descriptor, ended)

    def _wait_in_thread(self, loop: asyncio.AbstractEventLoop) -> None:
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        loop.call_soon_threadsafe(self._note_exit)

    def _note_exit(self) -> None:
        result = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        assert result is not None, "the child is unreaped, and its end was announced"
        by_code = result.si_code == os.CLD_EXITED
        status = ExitStatus(
            code=result.si_status if by_code else None,
            signal=None if by_code else result.si_status,
        )
        if not self._exited.done():
            self._exited.set_result(status)


def _find(name: str, environment: Mapping[str, str], directory: Path) -> Path:
    """Finds the program as a shell in `directory` would."""
    if "/" in name:
        return directory.absolute() / name
    found = shutil.which(name, path=environment.get("PATH", os.defpath))
    if found is None:
        raise LaunchFailed(Path(name), "There is no such program in PATH.")
    return directory.absolute() / found


def _resolved(paths: Sequence[Path]) -> list[Path]:
    return [path.resolve() for path in paths]


def _check_places(path: Path, directory: Path, closed: Sequence[Path]) -> None:
    for each in closed:
        for place in (path, directory.resolve()):
            if place.is_relative_to(each):
                raise LaunchFailed(place, f"It lies in {each}, which is closed to the program.")
        if each.is_relative_to(directory.resolve()):
            raise LaunchFailed(
                directory,
                f"It lies above {each}, which is closed to the program, so that the program "
                "could create nothing directly in it.",
            )


def _encoded(environment: Mapping[str, str]) -> dict[bytes, bytes]:
    return {os.fsencode(name): os.fsencode(value) for name, value in environment.items()}


def _popen(spec: Spec, directory: Path, terminal: int, status: int) -> subprocess.Popen[bytes]:
    with _spec_file() as file:
        file.write(marshal.dumps(cast("dict[str, Any]", spec)))
        file.seek(0)
        script = Path(launch.__file__)
        words = [sys.executable, "-I", "-S", "-E", str(script), str(file.fileno()), str(status)]
        try:
            return subprocess.Popen(
                words,
                stdin=terminal,
                stdout=terminal,
                stderr=terminal,
                cwd=directory,
                env={},
                pass_fds=(file.fileno(), status),
                start_new_session=True,
            )
        except OSError as error:
            path = Path(error.filename or directory)
            raise LaunchFailed(path, f"{error.strerror}.") from error


def _spec_file() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("launch"), "w+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)


async def _read_to_end(descriptor: int) -> bytes:
    loop = asyncio.get_running_loop()
    os.set_blocking(descriptor, False)
    ended: asyncio.Future[None] = loop.create_future()
    told = bytearray()

    def read() -> None:
        data = os.read(descriptor, 4096)
        told.extend(data)
        if not data and not ended.done():
            ended.set_result(None)

    loop.add_reader(descriptor, read)
    try:
        await ended
    finally:
        loop.remove_reader(descriptor)
    return bytes(told)


def _sentence(path: Path, told: bytes, status: ExitStatus) -> str:
    if not told:
        return f"The launcher ended before it started the program ({status})."
    if not told.startswith(b"E"):
        return told.decode(errors="replace")
    number = int(told[1:])
    if number == errno.ENOENT and path.exists():
        return "The interpreter that it names is missing, or it was built for another system."
    return _SENTENCES.get(number, f"The kernel refused to run it: {os.strerror(number)}.")
