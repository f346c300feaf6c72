"""How to reach the API server: as a pod's service account, or as a kubeconfig says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config.config_exception import ConfigException
from kubernetes.aio.config.incluster_config import load_incluster_config
from kubernetes.aio.config.kube_config import load_kube_config

from repobridge.errors import RepoBridgeError

# Neither has types upstream.
_in_cluster: Callable[..., None] = load_incluster_config
_by_file: Callable[..., Awaitable[object]] = load_kube_config


class ConnectionRefused(RepoBridgeError):
    """Nothing says how the API server is reached; the message says what is missing."""


async def connection(kubeconfig: Path | None, context: str) -> Configuration:
    """Address, authorities and credentials; a service account's token is read anew as it rotates.

    Raises ConnectionRefused.
    """
    # As the watches do: a proxy is what the kubeconfig names. (With the environment's trust, each
    # call reads ~/.netrc in a thread first: a sixth of what a bridge costs.)
    configuration = Configuration(client_session_kwargs={"trust_env": False})
    try:
        if kubeconfig is None:
            _in_cluster(client_configuration=configuration)
        else:
            await _by_file(
                config_file=str(kubeconfig),
                context=context or None,
                client_configuration=configuration,
                persist_config=False,
            )
    except (ConfigException, OSError, ValueError) as error:
        where = str(kubeconfig) if kubeconfig else "the service account of a pod"
        raise ConnectionRefused(
            f"The API server can't be reached by {where}: {str(error).rstrip('.')}. Outside of a"
            " cluster, name a kubeconfig."
        ) from error
    return configuration
