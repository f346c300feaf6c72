"""What the agent did in a turn: a line for each tool, bounded, the newest kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import groupby

from repobridge_gateway.lines import one_line
from repobridge_gateway.render import wording
from repobridge_gateway.render.inline import code, inert, plain
from repobridge_gateway.render.measure import cluster_start, shortened, units

MOST_LINES = 10
MOST_UNITS = 800
_ARGUMENT_UNITS = 72
_SUMMARY_UNITS = 90
_LEAST_ALIKE = 3
_FILE_TOOLS = frozenset({"Read", "Edit", "MultiEdit", "Write", "NotebookEdit", "LS"})
SUBAGENTS = frozenset({"Task", "Agent"})
"""The tools that are agents themselves."""


class ToolState(Enum):
    """Where a call of a tool stands."""

    RUNNING = 1
    OK = 2
    FAILED = 3
    DENIED = 4
    CANCELLED = 5


_MARKS = {
    ToolState.RUNNING: wording.RUNNING,
    ToolState.OK: wording.DONE,
    ToolState.FAILED: wording.FAILED,
    ToolState.DENIED: wording.REFUSED,
    ToolState.CANCELLED: wording.STOPPED,
}
_WORDS = {
    ToolState.FAILED: "failed",
    ToolState.DENIED: "not allowed",
    ToolState.CANCELLED: "stopped",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One call of a tool."""

    tool_use_id: str
    name: str
    title: str = ""
    started_at: float = 0.0
    depth: int = 0
    """1 for what a sub-agent does."""
    background: bool = False
    state: ToolState = ToolState.RUNNING
    seconds: float = 0.0
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Earlier:
    """Calls that are counted and no longer kept."""

    count: int = 0
    failed: int = 0

    def plus(self, tools: Sequence[Tool]) -> Earlier:
        """With these as well."""
        failed = sum(tool.state is ToolState.FAILED for tool in tools)
        return Earlier(self.count + len(tools), self.failed + failed)


@dataclass(frozen=True, slots=True)
class _Entry:
    text: str
    tools: tuple[Tool, ...]

    @property
    def is_running(self) -> bool:
        return self.tools[-1].state is ToolState.RUNNING


def render_timeline(
    tools: Sequence[Tool],
    *,
    now: float,
    earlier: Earlier | None = None,
    words: Mapping[str, str] | None = None,
    most_lines: int = MOST_LINES,
    most_units: int = MOST_UNITS,
) -> str:
    """The lines, in Discord's small type; `words` are the last of each sub-agent, by its call."""
    entries = list(_entries(tools, now=now, words=words or {}))
    shown = _chosen(entries, most_lines=most_lines, most_units=most_units)
    left = (earlier or Earlier()).plus(
        [tool for index, entry in enumerate(entries) if index not in shown for tool in entry.tools]
    )
    lines = [entry.text for index, entry in enumerate(entries) if index in shown]
    if left.count:
        failed = f", {left.failed} failed" if left.failed else ""
        lines.insert(0, f"-# … {wording.count(left.count, 'step')} before{failed}")
    return "\n".join(lines)


def _chosen(entries: Sequence[_Entry], *, most_lines: int, most_units: int) -> set[int]:
    """The newest, and before them what still runs, up to half of the lines."""
    running = [index for index, entry in enumerate(entries) if entry.is_running]
    order = running[: -(most_lines // 2) - 1 : -1] + list(range(len(entries) - 1, -1, -1))
    shown: set[int] = set()
    # A line is kept for those that are left out.
    lines, room = most_lines - 1, most_units - 50
    for index in order:
        text = entries[index].text
        needed = text.count("\n") + 1
        if index in shown:
            continue
        if needed > lines or units(text) + 1 > room:
            break
        shown.add(index)
        lines, room = lines - needed, room - units(text) - 1
    return shown


def _entries(tools: Sequence[Tool], *, now: float, words: Mapping[str, str]) -> Iterator[_Entry]:
    for _, group in groupby(tools, key=_kind):
        alike = tuple(group)
        if alike[0].state is ToolState.OK and len(alike) >= _LEAST_ALIKE:
            yield _Entry(_line(alike[0], f"×{len(alike)}", sum(t.seconds for t in alike)), alike)
            continue
        for tool in alike:
            yield _Entry(_told(tool, now=now, words=words.get(tool.tool_use_id, "")), (tool,))


def _kind(tool: Tool) -> tuple[str, int, ToolState, bool]:
    return tool.name, tool.depth, tool.state, tool.background


def _told(tool: Tool, *, now: float, words: str) -> str:
    is_running = tool.state is ToolState.RUNNING
    seconds = now - tool.started_at if is_running else tool.seconds
    line = _line(tool, code(_argument(tool)), seconds)
    if tool.state is ToolState.FAILED and tool.summary.strip():
        why = shortened(one_line(tool.summary.strip().split("\n")[0]), _SUMMARY_UNITS)
        line += f" · {code(why)}"
    if is_running and words.strip():
        said = shortened(one_line(plain(words)), _SUMMARY_UNITS)
        line += f"\n-# ↳ {inert(said)}"
    return line


def _line(tool: Tool, what: str, seconds: float) -> str:
    indent = "↳ " * min(tool.depth, 2)
    parts = [f"-# {indent}{_MARKS[tool.state]} {_name(tool)}", what, _WORDS.get(tool.state, "")]
    line = " ".join(filter(None, parts))
    line += " in the background" if tool.background else ""
    return f"{line} · {wording.elapsed(seconds)}" if seconds >= 1 else line


def _name(tool: Tool) -> str:
    """`mcp__github__list_issues` is the tool of a server."""
    if tool.name.startswith("mcp__"):
        server, _, name = tool.name.removeprefix("mcp__").partition("__")
        return code(f"{server}: {name}" if name else server)
    return (
        shortened(one_line(plain(tool.name)), 40) if tool.name.isalnum() else code(tool.name[:40])
    )


def _argument(tool: Tool) -> str:
    title = one_line(tool.title, longest=1000)
    argument = title.removeprefix(f"{tool.name}:").strip()
    if argument == tool.name:
        return ""
    if tool.name in _FILE_TOOLS and units(argument) > _ARGUMENT_UNITS:
        # Of a path, the end tells more.
        cut = argument[cluster_start(argument, len(argument) - _ARGUMENT_UNITS // 2) :]
        return f"…{cut[cut.find('/') :] if '/' in cut else cut}"
    return shortened(argument, _ARGUMENT_UNITS)
