"""The operator: RepoBridge resources become pods, wake on demand and sleep when idle."""
