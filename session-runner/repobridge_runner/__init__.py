"""The session-runner: owns a workspace and the agents that work in it."""
