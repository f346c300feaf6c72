"""The names and addresses of the node: the same in every cluster, as each has its own network."""

from __future__ import annotations

NODE_NAME = "node"
NODE_ADDRESS = "10.90.0.2"
"""Where the API server, the kubelet and whatever a test serves to pods listen."""
GATEWAY_ADDRESS = "10.90.0.1"
"""The default route: it leads nowhere."""
NODE_PREFIX = 24
POD_RANGE = "10.90.1.0/24"
SERVICE_RANGE = "10.91.0.0/24"
FIRST_SERVICE_ADDRESS = "10.91.0.1"
"""The API server's, as pods know it."""
API_PORT = 6443
MODEL_PORT = 8089
MODEL_URL = f"http://{NODE_ADDRESS}:{MODEL_PORT}"
DISCORD_PORT = 8090
ETCD_PORT = 2379
ETCD_PEER_PORT = 2380
