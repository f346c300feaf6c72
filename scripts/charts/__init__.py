"""`make manifests`: what the chart takes from elsewhere, and the manifests rendered from it."""
