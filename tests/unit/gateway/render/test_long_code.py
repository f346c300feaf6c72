from __future__ import annotations

import pytest

from repobridge_gateway.render.long_code import take_out

CODE = "x = 1\n" * 50


@pytest.mark.parametrize(
    ("before", "info", "name"),
    [
        ("Look:", "", "output.log"),
        ("Look:", "console", "output.log"),
        ("Look:", "rust", "code.rs"),
        ("Look:", "made-up", "code.txt"),
        ("In `a/b.py`:", "diff", "changes.diff"),
        ("In `a/b.py`:", "python", "b.py"),
        ("**`b.py`**", "", "b.py"),
        ("In `b.py` I mend it so:", "python", "code.py"),
        ("Look:", 'python title="src/c.py"', "c.py"),
        ("Look:", "ts:src/d.ts", "d.ts"),
    ],
)
def test_a_file_is_named_for_what_it_holds(before: str, info: str, name: str) -> None:
    told, [file] = take_out(f"{before}\n```{info}\n{CODE}```\nAfter.", taken=set())
    assert told == f"{before}\n-# `{name}` · 50 lines\nAfter."
    assert (file.name, file.data.decode()) == (name, CODE)


def test_equal_names_are_told_apart() -> None:
    taken = {"output.log"}
    _, files = take_out(f"```\n{CODE}```\n" * 8, taken=taken)
    assert [file.name for file in files] == [f"output-{number}.log" for number in range(2, 8)]
    assert taken == {"output.log", *(file.name for file in files)}


def test_short_code_stays() -> None:
    text = "```\nx\n```\n" * 3
    assert take_out(text, taken=set()) == (text, ())


def test_code_in_a_quote_or_a_list_is_told_without_their_marks() -> None:
    quoted = "> ```\n" + "> x\n" * 50 + "not quoted"
    told, [file] = take_out(quoted, taken=set())
    assert told == "-# `output.log` · 50 lines\nnot quoted"
    assert file.data.decode() == "x\n" * 50
    listed = "- do:\n  ```sh\n" + "  ls\n" * 50 + "  ```"
    assert take_out(listed, taken=set())[1][0].data.decode() == "ls\n" * 50


def test_code_that_is_never_closed_is_whole() -> None:
    told, [file] = take_out(f"```\n{CODE.strip()}", taken=set())
    assert (told, file.data.decode()) == ("-# `output.log` · 50 lines", CODE)
