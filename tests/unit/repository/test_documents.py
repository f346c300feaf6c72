"""The documentation says what the code says, and leads where it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.docs.blocks import GENERATORS, PAGES, names, rendered

ROOT = Path(__file__).parents[3]
DOCUMENTS = [*sorted(PAGES.glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
_LINK = re.compile(r"\]\((?!https?:)(?P<path>[^)#\s]*)(?:#(?P<anchor>[^)\s]+))?\)")
_HEADING = re.compile(r"^#+ (.*)$", re.M)
_FENCED = re.compile(r"^```.*?^```$", re.M | re.S)


def identity(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=identity)
def test_generated_parts_are_current(page: Path) -> None:
    text = page.read_text()
    assert rendered(text) == text, "out of date: run `make docs`"


def test_everything_that_is_generated_has_its_place() -> None:
    placed = [name for page in sorted(PAGES.glob("*.md")) for name in names(page.read_text())]
    assert sorted(placed) == sorted(GENERATORS)


@pytest.mark.parametrize("page", DOCUMENTS, ids=identity)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in _LINK.finditer(_FENCED.sub("", page.read_text())):
        target = page.parent / link["path"] if link["path"] else page
        anchor = link["anchor"]
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link[0])
    assert broken == []


@pytest.mark.parametrize("page", DOCUMENTS, ids=identity)
def test_files_that_are_named_exist(page: Path) -> None:
    """Of what stands as code and looks like a path of this repository."""
    parts = "core|gateway|session-runner|cli|scripts|tests|docs|examples|benchmarks"
    named = set(re.findall(rf"`((?:{parts})/[\w./-]*)`", page.read_text()))
    assert {name for name in named if not (ROOT / name).exists()} == set()


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = _HEADING.findall(_FENCED.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
