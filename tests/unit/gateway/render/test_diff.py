from __future__ import annotations

from repobridge_gateway.render.diff import Diff, FileStat, render_diff, stat
from repobridge_gateway.render.pieces import FILE_BYTES, Piece

PATCH = """\
diff --git a/src/limits.py b/src/limits.py
index 111..222 100644
--- a/src/limits.py
+++ b/src/limits.py
@@ -1,3 +1,3 @@
 def refill():
-    return 1
+    return 2
--- not a header
diff --git a/old name.md b/new name.md
similarity index 100%
rename from old name.md
rename to new name.md
diff --git "a/\\303\\251.txt" "b/\\303\\251.txt"
@@ -0,0 +1 @@
+x
"""


def test_the_files_of_a_patch_are_counted() -> None:
    assert stat(PATCH) == [
        FileStat("src/limits.py", 1, 2),
        FileStat("new name.md", 0, 0),
        FileStat("\\303\\251.txt", 1, 0),
    ]
    assert stat("") == []


def test_a_short_patch_stands_in_the_message() -> None:
    diff = Diff(unified=PATCH, files=3, insertions=2, deletions=2, branch="fix/limits")
    assert render_diff(diff, reply_to="17") == Piece(
        "**3 files** changed on `fix/limits` · +2 −2\n"
        "-# `src/limits.py` +1 −2\n-# `new name.md` +0 −0\n-# `\\303\\251.txt` +1 −0\n"
        f"```diff\n{PATCH.strip()}\n```",
        reply_to="17",
    )


def test_nothing_changed_is_said() -> None:
    assert render_diff(Diff(unified="", branch="main")) == Piece(
        "✓ Nothing has been changed on `main`."
    )


def test_a_long_patch_is_a_file_that_is_called_after_its_branch() -> None:
    many = "".join(PATCH.replace("limits", f"limits{number}") for number in range(20))
    piece = render_diff(Diff(unified=many, files=60, insertions=40, deletions=40, branch="fix/é*"))
    [file] = piece.files
    assert (file.name, file.data.decode()) == ("fix-e_.diff", many)
    assert piece.content.startswith(
        "**60 files** changed on `fix/é*` · +40 −40\n-# `src/limits0.py`"
    )
    assert piece.content.endswith("\n-# … and 48 more files")


def test_a_patch_with_fences_or_a_cut_one_is_a_file() -> None:
    fenced = "diff --git a/a.md b/a.md\n@@ -0,0 +1 @@\n+```\n"
    assert [file.name for file in render_diff(Diff(unified=fenced, files=1)).files] == [
        "changes.diff"
    ]
    cut = render_diff(Diff(unified=PATCH, files=3, is_cut=True))
    assert "the whole is too large" in cut.content
    huge = render_diff(Diff(unified=("+" + "x" * 999 + "\n") * (FILE_BYTES // 900), files=1))
    assert len(huge.files[0].data) <= FILE_BYTES
    assert huge.files[0].data.endswith(b"\n")


def test_hidden_characters_of_a_patch_are_seen() -> None:
    diff = Diff(unified="diff --git a/a b/a\n@@ -0,0 +1 @@\n+x\u202ey\n", files=1)
    assert "+x⟨U+202E⟩y" in render_diff(diff).content
