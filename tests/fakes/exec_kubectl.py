"""A `kubectl` that is the real one, but for `exec`: it runs what would run in the pod right here.

It stands in for the node that an API server alone does not have. The API server is asked all the
same whether the person may exec into pods.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.clustertools.cache import find_tool

_SCRIPT = """#!/bin/sh
set -eu
case " $* " in
  *" exec "*)
    {kubectl} "$1" auth can-i create pods --subresource=exec >/dev/null || {{
      echo 'Error from server (Forbidden): pods "x" is forbidden: no pods/exec' >&2; exit 1; }}
    exec {python} -m repobridge_runner relay --socket {socket} ;;
esac
exec {kubectl} "$@"
"""


def install(directory: Path, *, runner_socket: Path) -> Path:
    """Writes the program into a directory, and returns the directory, for the head of a PATH."""
    directory.mkdir(parents=True, exist_ok=True)
    program = directory / "kubectl"
    program.write_text(
        _SCRIPT.format(kubectl=find_tool("kubectl"), python=sys.executable, socket=runner_socket)
    )
    program.chmod(0o755)
    return directory
