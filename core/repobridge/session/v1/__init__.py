"""Version 1 of the session wire; session.proto documents it, the rest is generated."""
