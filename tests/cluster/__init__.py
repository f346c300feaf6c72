"""One real Kubernetes node for tests and for people, shut into namespaces of its own."""
