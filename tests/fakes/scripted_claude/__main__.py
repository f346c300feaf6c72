"""`python -m tests.fakes.scripted_claude`, as the Claude CLI is called."""

import sys

from tests.fakes.scripted_claude.program import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
