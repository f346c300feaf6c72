"""Durable acts on one SQLite file: a thread that commits in groups, and its front on a loop."""
