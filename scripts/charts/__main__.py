"""Writes the chart's copies and manifests/install.yaml where they are out of date."""

from __future__ import annotations

import sys
from pathlib import Path

from scripts.charts import rendering
from scripts.charts.sources import CHART, sources

_ROOT = CHART.parent.parent


def main() -> None:
    """Takes the path of the program helm."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m scripts.charts HELM")
    for path, text in sources().items():
        _write(path, text)
    try:
        _write(rendering.FILE, rendering.text(Path(sys.argv[1])))
    except rendering.RenderingFailed as failure:
        sys.exit(str(failure))


def _write(path: Path, text: str) -> None:
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(f"wrote {path.relative_to(_ROOT)}")


if __name__ == "__main__":
    main()
