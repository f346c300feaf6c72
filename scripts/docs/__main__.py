"""Puts the generated parts of docs/*.md in their places."""

from __future__ import annotations

import sys

from scripts.docs.blocks import PAGES, UnknownBlock, rendered


def main() -> None:
    """Rewrites every page that is out of date."""
    for path in sorted(PAGES.glob("*.md")):
        before = path.read_text(encoding="utf-8")
        try:
            after = rendered(before)
        except UnknownBlock as error:
            sys.exit(f"{path.name}: {error}")
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(f"wrote docs/{path.name}")


if __name__ == "__main__":
    main()
