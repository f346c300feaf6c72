"""Writes crds/ if it is out of date."""

from __future__ import annotations

from scripts.crds.definition import FILE, text


def main() -> None:
    """Writes the file."""
    written = text()
    if not FILE.exists() or FILE.read_text(encoding="utf-8") != written:
        FILE.parent.mkdir(exist_ok=True)
        FILE.write_text(written, encoding="utf-8")
        print(f"wrote crds/{FILE.name}")


if __name__ == "__main__":
    main()
