"""A session's events as messages for Discord: pure, and nothing in it that can't be sent."""
