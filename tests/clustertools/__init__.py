"""The programs of a Kubernetes for tests, built from Go modules into a cache, once a version."""
