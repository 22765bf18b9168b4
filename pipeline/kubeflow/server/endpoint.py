"""Address of the Kubeflow Pipelines server, and the identity presented to it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from trainer.errors import UsageError, UserError

ENDPOINT_ENV: Final = "TWO_TOWER_KFP_ENDPOINT"
TOKEN_ENV: Final = "TWO_TOWER_KFP_TOKEN"
NAMESPACE_ENV: Final = "TWO_TOWER_KFP_NAMESPACE"
# Kubeflow mounts a service account's token here in its notebooks and jobs.
_MOUNTED_TOKEN_ENV: Final = "KF_PIPELINES_SA_TOKEN_PATH"
_MOUNTED_TOKEN: Final = "/var/run/secrets/kubeflow/pipelines/token"
_IN_CLUSTER: Final = "http://ml-pipeline.kubeflow.svc.cluster.local:8888"
# The Kubernetes API server forwards requests to services, as it does for `kubectl`.
_API_SERVER_PATH: Final = "/api/v1/namespaces/kubeflow/services/ml-pipeline:http/proxy"
_URL: Final = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")


@dataclass(frozen=True)
class Endpoint:
    """A server and our identity.

    Attributes:
      configuration: `kfp_server_api.Configuration` with address, token and TLS files.
      namespace: Namespace of experiments and runs; None if the server has only one.
    """

    configuration: Any
    namespace: str | None = None


def find_endpoint(
    *,
    url: str | None = None,
    token_file: Path | None = None,
    namespace: str | None = None,
    context: str | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Endpoint:
    """Finds the server: from the arguments, the environment, or the kube config.

    Args:
      url: The server's address.
      token_file: File with a bearer token.
      namespace: Namespace of the runs.
      context: Context of the kube config through which the server is reached.
      environment: Environment variables.

    Raises:
      UsageError: The address is not an HTTP URL, or no address was found.
      UserError: The token cannot be read.
    """
    from kfp_server_api import Configuration

    token = _find_token(token_file, environment)
    url = url or environment.get(ENDPOINT_ENV)
    if url is None and context is None and "KUBERNETES_SERVICE_HOST" in environment:
        url = _IN_CLUSTER
    if url is None:
        configuration = Configuration()
        _load_kube_config(configuration, context)
    elif _URL.fullmatch(url):
        configuration = Configuration(host=url.rstrip("/"))
        if token is not None:
            configuration.api_key["authorization"] = token
            configuration.api_key_prefix["authorization"] = "Bearer"
    else:
        raise UsageError(
            "The address of Kubeflow Pipelines is not an http:// or https:// URL",
            "Give --endpoint like https://kubeflow.example.com/pipeline.",
        )
    return Endpoint(configuration, namespace or environment.get(NAMESPACE_ENV))


def _find_token(token_file: Path | None, environment: Mapping[str, str]) -> str | None:
    token, source = environment.get(TOKEN_ENV), TOKEN_ENV
    if token_file is not None or not token:
        mounted = Path(environment.get(_MOUNTED_TOKEN_ENV, _MOUNTED_TOKEN))
        path = token_file or mounted
        if token_file is None and not mounted.is_file():
            return None
        try:
            token = path.read_text(encoding="utf-8", errors="replace").strip()
        except OSError as error:
            raise UserError(
                f"The token in {path} cannot be read: {error.strerror}",
                "Give --token-file a file with a bearer token.",
            ) from error
        source = str(path)
    if not token or not token.isascii() or not token.isprintable():
        raise UserError(
            f"{source} holds no token: it is empty or not printable text",
            "Give --token-file a file with a bearer token.",
        )
    return token


def _load_kube_config(configuration: Any, context: str | None) -> None:
    """Reaches the server through the Kubernetes API server, as `kubectl` does."""
    remedy = f"Give --endpoint, or set {ENDPOINT_ENV}."
    try:
        from kubernetes.config import load_kube_config
    except ImportError as error:
        raise UsageError("No Kubeflow Pipelines server is named", remedy) from error
    try:
        load_kube_config(client_configuration=configuration, context=context)
    except Exception as error:  # ConfigException, and whatever its plug-ins raise
        raise UsageError(
            "No Kubeflow Pipelines server is named, and the kube config names none: "
            f"{' '.join(str(error).split())}",
            remedy,
        ) from error
    configuration.host = configuration.host.rstrip("/") + _API_SERVER_PATH
