"""The session wire: a client talks to one session-runner."""
