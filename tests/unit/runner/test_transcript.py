"""The transcript as the judge of a turn that a crash cut."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from repobridge_runner.agents.transcript import CutTurn, holds_conversation, judge, size

MODE = {"type": "mode", "mode": "normal"}
OVER = {"type": "system", "subtype": "turn_duration", "isMeta": False}


def user(content: Any) -> dict[str, Any]:
    return {"type": "user", "isSidechain": False, "message": {"role": "user", "content": content}}


def assistant(text: str, stop_reason: str | None = "end_turn") -> dict[str, Any]:
    content = [{"type": "text", "text": text}]
    return {"type": "assistant", "message": {"content": content, "stop_reason": stop_reason}}


def result() -> dict[str, Any]:
    return user([{"type": "tool_result", "tool_use_id": "t1", "content": "done"}])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "session.jsonl"


def write(path: Path, *entries: dict[str, Any], end: str = "\n") -> None:
    path.write_text("\n".join(map(json.dumps, entries)) + end)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([MODE], CutTurn(prompt_stands=False)),
        ([user("other"), assistant("said")], CutTurn(prompt_stands=False, text="said")),
        ([user("do it")], CutTurn(prompt_stands=True)),
        (
            [user("do it"), assistant("one ", None), assistant("two")],
            CutTurn(True, finished=True, text="one two"),
        ),
        (
            [user("do it"), assistant("before", "tool_use"), result(), assistant("after")],
            CutTurn(True, finished=True, text="after"),
        ),
        ([user("do it"), assistant("before", "tool_use")], CutTurn(True, text="before")),
        ([user("do it"), assistant("before", "tool_use"), result()], CutTurn(True)),
        # Seen: in a short first turn, the lines about its end come before the prompt.
        ([MODE, OVER, user("do it"), assistant("yes")], CutTurn(True, finished=True, text="yes")),
        (
            [user("do it"), assistant("so", None), user("[Request interrupted by user]")],
            CutTurn(True, interrupted=True),
        ),
        ([{**user("do it"), "isSidechain": True}], CutTurn(prompt_stands=False)),
        ([{**user("do it"), "isMeta": True}], CutTurn(prompt_stands=False)),
        ([{"type": "assistant", "message": 7}], CutTurn(prompt_stands=False)),
    ],
)
def test_a_cut_turn_is_judged_by_its_lines(
    path: Path, entries: list[dict[str, Any]], expected: CutTurn
) -> None:
    write(path, *entries)
    assert judge(path, offset=0, prompt="do it") == expected


def test_only_what_follows_the_offset_counts(path: Path) -> None:
    write(path, user("do it"), assistant("then"))
    offset = size(path)
    assert judge(path, offset=offset, prompt="do it") == CutTurn(prompt_stands=False)


def test_a_line_cut_by_a_kill_is_passed_by(path: Path) -> None:
    write(path, user("do it"), end='\n{"type": "assist')
    assert judge(path, offset=0, prompt="do it") == CutTurn(prompt_stands=True)


def test_a_missing_transcript_says_nothing(path: Path) -> None:
    assert judge(path, offset=0, prompt="do it") == CutTurn(prompt_stands=False)
    assert not holds_conversation(path)


def test_a_transcript_without_a_prompt_or_an_answer_holds_no_conversation(path: Path) -> None:
    write(path, MODE, {"type": "permission-mode"}, OVER)
    assert not holds_conversation(path)
    write(path, MODE, user("do it"))
    assert holds_conversation(path)
