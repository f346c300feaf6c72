"""`make demo`: a sample repository, served, and a chat with it."""
