"""The sample repository of the demo: small, believable, with tests and a history."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

NAME = "bookshelf"

_README = """\
# bookshelf

Keeps track of who borrowed which book, for a shelf that a few people share.

    python3 -m unittest
"""

_SHELF = '''\
"""The shelf: which books there are, and which of them are out."""


class NotAvailable(Exception):
    """The book is out, or was never here."""


class Shelf:
    def __init__(self, titles: list[str]) -> None:
        self._titles = set(titles)
        self._borrowers: dict[str, str] = {}

    @property
    def available(self) -> list[str]:
        return sorted(self._titles - self._borrowers.keys())

    def lend(self, title: str, borrower: str) -> None:
        if title not in self.available:
            raise NotAvailable(title)
        self._borrowers[title] = borrower

    def take_back(self, title: str) -> str:
        if title not in self._borrowers:
            raise NotAvailable(title)
        return self._borrowers.pop(title)
'''

_LOAN = '''\
"""A loan: until when somebody has a book, and what it costs to forget it."""

from dataclasses import dataclass
from datetime import date, timedelta

LENDING_DAYS = 21
LATE_CENTS_A_DAY = 10
MOST_LATE_CENTS = 500


@dataclass(frozen=True)
class Loan:
    title: str
    borrower: str
    since: date

    @property
    def due(self) -> date:
        return self.since + timedelta(days=LENDING_DAYS)

    def late_cents(self, today: date) -> int:
        days = max(0, (today - self.due).days)
        return min(days * LATE_CENTS_A_DAY, MOST_LATE_CENTS)
'''

_TEST_SHELF = """\
import unittest

from bookshelf.shelf import NotAvailable, Shelf


class ShelfTest(unittest.TestCase):
    def setUp(self):
        self.shelf = Shelf(["Dune", "Emma"])
        self.shelf.lend("Dune", "Noor")

    def test_a_lent_book_is_not_available(self):
        self.assertEqual(self.shelf.available, ["Emma"])

    def test_a_lent_book_is_not_lent_twice(self):
        with self.assertRaises(NotAvailable):
            self.shelf.lend("Dune", "Per")

    def test_a_returned_book_is_available_again(self):
        self.shelf.take_back("Dune")
        self.assertEqual(self.shelf.available, ["Dune", "Emma"])
"""

_TEST_LOAN = """\
import unittest
from datetime import date, timedelta

from bookshelf.loan import Loan

LOAN = Loan("Dune", "Noor", date(2026, 3, 2))


class LoanTest(unittest.TestCase):
    def test_a_book_is_due_after_three_weeks(self):
        self.assertEqual(LOAN.due, date(2026, 3, 23))

    def test_nothing_is_owed_on_the_day_it_is_due(self):
        self.assertEqual(LOAN.late_cents(LOAN.due), 0)

    def test_what_is_owed_has_a_limit(self):
        self.assertEqual(LOAN.late_cents(LOAN.due + timedelta(days=365)), 500)
"""

_TODO = """\
- The shelf should keep loans, not just names, and say what is overdue.
- Reservations for books that are out.
"""


@dataclass(frozen=True)
class Commit:
    """A step of the history, which only adds files."""

    message: str
    author: str
    days_ago: float
    files: Mapping[str, str]


HISTORY: Sequence[Commit] = (
    Commit(
        "Begin with a shelf that lends books",
        "Noor Haddad",
        23.1,
        {
            "README.md": _README,
            ".gitignore": "__pycache__/\n",
            "bookshelf/__init__.py": "",
            "bookshelf/shelf.py": _SHELF,
        },
    ),
    Commit(
        "Test lending and returning",
        "Noor Haddad",
        22.8,
        {"tests/__init__.py": "", "tests/test_shelf.py": _TEST_SHELF},
    ),
    Commit(
        "Charge ten cents for each day that a book is late",
        "Per Lindgren",
        2.3,
        {"bookshelf/loan.py": _LOAN, "tests/test_loan.py": _TEST_LOAN},
    ),
    Commit("List what is not there yet", "Noor Haddad", 0.2, {"TODO.md": _TODO}),
)


def make_sample(path: Path, *, now: datetime, environment: Mapping[str, str]) -> None:
    """Makes the repository, its history ending shortly before `now`; raises CalledProcessError."""
    path.mkdir(parents=True)
    _git(path, environment, "init", "--quiet")
    _git(path, environment, "symbolic-ref", "HEAD", "refs/heads/main")
    for commit in HISTORY:
        for name, content in commit.files.items():
            file = path / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(content, encoding="utf-8")
        _git(path, environment, "add", ".")
        identity = _identity(commit, at=now - timedelta(days=commit.days_ago))
        message = f"--message={commit.message}"
        _git(path, {**environment, **identity}, "commit", "--quiet", message)


def _identity(commit: Commit, *, at: datetime) -> dict[str, str]:
    facts = {
        "NAME": commit.author,
        "EMAIL": f"{commit.author.split()[0].lower()}@example.com",
        "DATE": at.astimezone(UTC).isoformat("T", "seconds"),
    }
    return {f"GIT_{who}_{key}": facts[key] for who in ("AUTHOR", "COMMITTER") for key in facts}


def _git(directory: Path, environment: Mapping[str, str], *arguments: str) -> None:
    # Nobody's own settings: a commit that has to be signed, say, would ask for a passphrase.
    alone = {**environment, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", *arguments], cwd=directory, env=alone, check=True, capture_output=True)
