"""`python -m repobridge_cli` is the `repobridge` command."""

from repobridge_cli.main import main

main()
