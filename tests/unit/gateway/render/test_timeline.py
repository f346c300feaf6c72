from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from repobridge_gateway.render.measure import units
from repobridge_gateway.render.timeline import Earlier, Tool, ToolState, render_timeline


def tool(name: str = "Bash", title: str = "Bash: make test", **changes: Any) -> Tool:
    return Tool(tool_use_id="u", name=name, title=title, **changes)


def lines(*tools: Tool, **options: Any) -> list[str]:
    return render_timeline(tools, now=100.0, **options).split("\n")


def test_each_state_has_its_mark_and_words() -> None:
    assert lines(
        tool(started_at=88.0),
        tool(state=ToolState.OK, seconds=3.21),
        tool(state=ToolState.OK, seconds=0.4),
        tool(state=ToolState.FAILED, seconds=75.0, summary="2 failed `x`\nmore"),
        tool(state=ToolState.DENIED),
        tool(state=ToolState.CANCELLED, seconds=3700.0),
        tool(state=ToolState.OK, background=True),
    ) == [
        "-# ▸ Bash `make test` · 12s",
        "-# ✓ Bash `make test` · 3.2s",
        "-# ✓ Bash `make test`",
        "-# ✗ Bash `make test` failed · 1m15s · `` 2 failed `x` ``",
        "-# ⊘ Bash `make test` not allowed",
        "-# – Bash `make test` stopped · 1h1m40s",
        "-# ✓ Bash `make test` in the background",
    ]


def test_what_repeats_is_counted() -> None:
    read = tool("Read", "Read: a.py", state=ToolState.OK, seconds=0.5)
    assert lines(*[read] * 7) == ["-# ✓ Read ×7 · 3.5s"]
    assert lines(read, read) == ["-# ✓ Read `a.py`"] * 2
    within = tool("Read", "Read: a.py", state=ToolState.OK, depth=1)
    assert lines(*[read] * 3, *[within] * 3) == ["-# ✓ Read ×3 · 1.5s", "-# ↳ ✓ Read ×3"]


def test_a_sub_agents_words_stand_below_it() -> None:
    task = tool("Task", "Task: explore", started_at=99.5)
    assert lines(task, words={"u": "Found **three** callers, @everyone"}) == [
        "-# ▸ Task `explore`",
        "-# ↳ Found three callers, @\u200beveryone",
    ]


def test_names_and_titles_of_any_kind_stay_on_their_line() -> None:
    assert lines(
        tool("mcp__github__list_issues", "mcp__github__list_issues: bug", state=ToolState.OK),
        tool("TodoWrite", "TodoWrite", state=ToolState.OK),
        tool("Bash", "Bash: echo `date`\n<@1>", state=ToolState.OK),
        tool("we*ird", "we*ird", state=ToolState.OK),
        tool("Read", f"Read: /workspace/{'deep/' * 30}limits.py", state=ToolState.OK),
        tool("Bash", f"Bash: {'x' * 200}", state=ToolState.OK),
    ) == [
        "-# ✓ `github: list_issues` `bug`",
        "-# ✓ TodoWrite",
        "-# ✓ Bash `` echo `date` <@1> ``",
        "-# ✓ `we*ird`",
        "-# ✓ Read `…/deep/deep/deep/deep/deep/limits.py`",
        f"-# ✓ Bash `{'x' * 71}…`",
    ]


def test_the_newest_are_kept_and_the_others_counted() -> None:
    many = [
        tool(title=f"Bash: step {number}", state=ToolState.FAILED if number < 2 else ToolState.OK)
        for number in range(30)
    ]
    alternating = [
        each for one in many for each in (one, tool("Read", "Read: a", state=ToolState.OK))
    ]
    shown = lines(*alternating, earlier=Earlier(100, 3), most_lines=5)
    assert shown[0] == "-# … 156 steps before, 5 failed"
    assert shown[1:] == [
        "-# ✓ Bash `step 28`",
        "-# ✓ Read `a`",
        "-# ✓ Bash `step 29`",
        "-# ✓ Read `a`",
    ]


def test_what_still_runs_is_kept_before_what_is_newer() -> None:
    old = tool(title="Bash: serve", started_at=0.0)
    done = [tool(f"T{number}", f"T{number}", state=ToolState.OK) for number in range(20)]
    shown = lines(old, *done, most_lines=4)
    assert shown == ["-# … 18 steps before", "-# ▸ Bash `serve` · 1m40s", "-# ✓ T18", "-# ✓ T19"]


tools = st.builds(
    Tool,
    tool_use_id=st.just("u"),
    name=st.text(max_size=80),
    title=st.text(max_size=200),
    state=st.sampled_from(ToolState),
    summary=st.text(max_size=100),
    depth=st.integers(0, 5),
)


@given(st.lists(tools, max_size=30), st.integers(3, 12), st.integers(200, 900))
def test_it_never_outgrows_its_place(many: list[Tool], most_lines: int, most_units: int) -> None:
    told = render_timeline(many, now=1.0, most_lines=most_lines, most_units=most_units)
    assert units(told) <= most_units
    assert len(told.split("\n")) <= most_lines
    assert all(line.startswith("-# ") for line in told.split("\n") if told)
