"""The `repobridge` command line."""
