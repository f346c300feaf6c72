"""What the parts of RepoBridge share: the wire, names, errors and pure policies."""

__version__ = "0.1.0"
