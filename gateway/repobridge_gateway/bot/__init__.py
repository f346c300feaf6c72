"""Discord: the only place that knows its library and its API."""
