"""The local wire: `chat` and `attach` talk to `repobridge serve`."""
