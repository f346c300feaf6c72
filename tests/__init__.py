"""The project's tests; a package so that the imitations in it can be imported by name."""
