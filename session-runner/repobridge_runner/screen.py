"""The one thing that is read off the agent's screen: whether its prompt stands.

Everything else the agent says comes through hooks. `PromptWatch` sees raw output go by; the rare
question whether the input box is empty is answered by emulating the last output with pyte.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from repobridge_runner.terminal import WindowSize

PROMPT = "❯"
_PROMPT_BYTES = PROMPT.encode()


class PromptWatch:
    """Follows an agent's output for the moment at which its prompt is painted and all is quiet."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._painted = asyncio.Event()
        self._end = b""
        self._last_output = clock()
        self._output = asyncio.Event()

    def feed(self, data: bytes) -> None:
        """Takes output as it comes; cheap."""
        self._last_output = self._clock()
        self._output.set()
        if not self._painted.is_set():
            if _PROMPT_BYTES in self._end + data:
                self._painted.set()
            self._end = data[-2:]

    async def ready(self, *, quiet_seconds: float) -> None:
        """Returns when the prompt was painted and nothing has followed for a while."""
        await self._painted.wait()
        await self.quiet(quiet_seconds)

    async def quiet(self, seconds: float) -> None:
        """Returns when there was no output for so long."""
        while (left := self._last_output + seconds - self._clock()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(left)

    def is_quiet(self, seconds: float) -> bool:
        """Whether there was no output for so long."""
        return self._clock() >= self._last_output + seconds

    def expect_output(self) -> None:
        """Forgets the output so far, for `output`."""
        self._output.clear()

    async def output(self) -> None:
        """Returns at the first output since `expect_output`."""
        await self._output.wait()


def prompt_is_empty(output: bytes, size: WindowSize) -> bool:
    """Whether the last painted prompt stands and holds no text."""
    import pyte  # noqa: PLC0415 - rarely needed, and 5 MB

    screen = pyte.Screen(size.columns, size.rows)
    pyte.ByteStream(screen).feed(output)
    lines = [line.strip() for line in screen.display]
    prompts = [line for line in lines if line.startswith(PROMPT)]
    return bool(prompts) and prompts[-1] == PROMPT


def last_lines(output: bytes, size: WindowSize, *, count: int = 12) -> str:
    """The lower part of the screen as text, for an error message."""
    import pyte  # noqa: PLC0415 - rarely needed, and 5 MB

    screen = pyte.Screen(size.columns, size.rows)
    pyte.ByteStream(screen).feed(output)
    lines = [line.rstrip() for line in screen.display if line.strip()]
    return "\n".join(lines[-count:])
