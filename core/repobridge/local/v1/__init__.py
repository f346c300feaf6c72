"""Version 1 of the local wire; local.proto documents it, the rest is generated."""
