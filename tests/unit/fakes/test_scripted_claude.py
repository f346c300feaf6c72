"""The scripted agent refuses what the real one would, and what it does not know."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.fakes.scripted_claude import keys
from tests.fakes.scripted_claude.arguments import Arguments, BadUse
from tests.fakes.scripted_claude.installed import ScriptedClaude
from tests.fakes.scripted_claude.script import Script
from tests.fakes.scripted_claude.transcript import Transcript

SESSION = "7a2b401c-07bb-5911-9499-756c452a508a"
HOOK = {"type": "http", "url": "http://127.0.0.1:1/x", "headers": {"Authorization": "Bearer $T"}}
SETTINGS = json.dumps({"hooks": {"Stop": [{"hooks": [HOOK]}]}})
GOOD = ["--settings", SETTINGS, "--session-id", SESSION]


@pytest.mark.parametrize(
    "words",
    [
        [*GOOD, "--unheard-of"],
        [*GOOD, "--session-id", SESSION],
        [*GOOD, "--model"],
        ["--settings", SETTINGS],
        ["--settings", SETTINGS, "--session-id", "not-an-id"],
        ["--settings", SETTINGS, "--session-id", SESSION, "--resume", SESSION],
        ["--settings", SETTINGS, "--resume", SESSION, "--fork-session"],
        ["--settings", "{}", "--session-id", SESSION],
        ["--session-id", SESSION],
    ],
)
def test_unknown_options_are_refused(words: list[str]) -> None:
    with pytest.raises(BadUse):
        Arguments(words)


def test_the_runners_own_options_are_taken() -> None:
    arguments = Arguments([*GOOD, "--setting-sources", "user", "--strict-mcp-config"])
    assert (arguments.session_id, arguments.resumed_id) == (SESSION, "")
    assert arguments.hook_urls == {"Stop": ("http://127.0.0.1:1/x", "Bearer $T")}


@pytest.mark.parametrize("fault", [{"unheard": 1}, {"start": "sideways"}, {"lose_enters": "one"}])
def test_an_unknown_script_is_refused(fault: dict[str, object]) -> None:
    with pytest.raises(BadUse):
        Script(fault)


def test_it_runs_by_itself_and_refuses_to_run_without_a_terminal(tmp_path: Path) -> None:
    scripted = ScriptedClaude(tmp_path)
    said = subprocess.run(
        [scripted.executable, "--version"], capture_output=True, text=True, check=True, env={}
    )
    assert said.stdout == "2.1.197 (Claude Code)\n"
    refused = subprocess.run(
        [scripted.executable, *GOOD], capture_output=True, text=True, check=False, env={}
    )
    assert refused.returncode == 2
    assert refused.stderr == "scripted-claude: standard input and output have to be a terminal\n"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_keys_are_the_same_however_they_are_cut(size: int) -> None:
    data = b"a\x1b[200~two\nlines\x1b[201~\r\x03"
    reader = keys.KeyReader()
    pressed = [k for at in range(0, len(data), size) for k in reader.feed(data[at : at + size])]
    assert pressed == [
        ("text", "a"),
        ("text", "two\nlines"),
        (keys.ENTER, ""),
        (keys.CLEAR, ""),
    ]
    assert not reader.is_waiting


def test_an_escape_that_nothing_follows_is_the_key() -> None:
    reader = keys.KeyReader()
    assert reader.feed(b"\x1b") == []
    assert reader.give_up() == [(keys.ESCAPE, "")]


def test_a_transcript_knows_the_turn_that_was_cut(tmp_path: Path) -> None:
    transcript = Transcript(str(tmp_path), "/srv/repository", SESSION)
    assert not transcript.exists
    transcript.user("first")
    transcript.assistant("said")
    transcript.turn_over()
    assert transcript.cut_prompt() == ""
    transcript.user("second")
    assert transcript.cut_prompt() == "second"
    transcript.interrupted()
    assert transcript.cut_prompt() == ""
    assert transcript.prompts() == ["first", "second"]
