"""Address of the Kubeflow Pipelines server, and the identity presented to it."""

from __future__ import annotations

import os
import re
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
# Servers take no longer header.
_MAX_TOKEN: Final = 1 << 16
_URL: Final = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")


@dataclass(frozen=True)
class Endpoint:
    """A server and our identity. What is None comes from the environment.

    Attributes:
      url: The server's address; without one in the environment either, it is that of
        the cluster in which this process runs, or else from the kube config.
      token_file: File with a bearer token.
      namespace: Namespace of experiments and runs, if the server has several.
      kube_context: Context of the kube config through which the server is reached.
      timeout_seconds: Longest wait for the connection, and for the next bytes.
    """

    url: str | None = None
    token_file: Path | None = None
    namespace: str | None = None
    kube_context: str | None = None
    timeout_seconds: float = 30.0

    def configuration(self) -> Any:
        """Makes the `kfp_server_api.Configuration`: address, token and TLS files.

        Raises:
          UsageError: The address is not an HTTP URL, or no address was found.
          UserError: The token cannot be read.
        """
        from kfp_server_api import Configuration

        token = _find_token(self.token_file)
        url = self.url or os.environ.get(ENDPOINT_ENV)
        in_cluster = "KUBERNETES_SERVICE_HOST" in os.environ
        if url is None and self.kube_context is None and in_cluster:
            url = _IN_CLUSTER
        if url is None:
            return _load_kube_config(Configuration(), self.kube_context)
        if not _URL.fullmatch(url):
            raise UsageError(
                "The address of Kubeflow Pipelines is not an http:// or https:// URL",
                "Give --endpoint like https://kubeflow.example.com/pipeline.",
            )
        configuration = Configuration(host=url.rstrip("/"))
        if token is not None:
            configuration.api_key["authorization"] = token
            configuration.api_key_prefix["authorization"] = "Bearer"
        return configuration

    def scope(self) -> dict[str, str]:
        """The fields of requests that name the namespace; none without one."""
        namespace = self.namespace or os.environ.get(NAMESPACE_ENV)
        return {"namespace": namespace} if namespace else {}

    @property
    def is_given(self) -> bool:
        """Whether anything but the timeout is given."""
        return any((self.url, self.token_file, self.namespace, self.kube_context))


def _find_token(token_file: Path | None) -> str | None:
    token, source = os.environ.get(TOKEN_ENV), TOKEN_ENV
    if token_file is not None or not token:
        mounted = Path(os.environ.get(_MOUNTED_TOKEN_ENV, _MOUNTED_TOKEN))
        path = token_file or mounted
        if token_file is None and not mounted.is_file():
            return None
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                token = file.read(_MAX_TOKEN + 1).strip()
        except OSError as error:
            raise UserError(
                f"The token in {path} cannot be read: {error.strerror}",
                "Give --token-file a file with a bearer token.",
            ) from error
        source = str(path)
    is_text = token.isascii() and token.isprintable() if token else False
    if not token or not is_text or len(token) > _MAX_TOKEN:
        raise UserError(
            f"{source} holds no token: it is empty, too long or not printable text",
            "Give --token-file a file with a bearer token.",
        )
    return token


def _load_kube_config(configuration: Any, context: str | None) -> Any:
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
    return configuration
