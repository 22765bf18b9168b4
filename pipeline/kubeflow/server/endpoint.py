"""Address of the Kubeflow Pipelines server, and the identity presented to it."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from trainer.errors import UsageError, UserError

ENDPOINT_ENV: Final = "TWO_TOWER_KFP_ENDPOINT"
TOKEN_ENV: Final = "TWO_TOWER_KFP_TOKEN"
NAMESPACE_ENV: Final = "TWO_TOWER_KFP_NAMESPACE"
# Kubeflow mounts a service account's token here in its notebooks and jobs.
_SERVICE_ACCOUNT_TOKEN_ENV: Final = "KF_PIPELINES_SA_TOKEN_PATH"
_SERVICE_ACCOUNT_TOKEN: Final = "/var/run/secrets/kubeflow/pipelines/token"
_IN_CLUSTER: Final = "http://ml-pipeline.kubeflow.svc.cluster.local:8888"
# The Kubernetes API server forwards to services, as `kubectl proxy` shows.
_KUBERNETES_PROXY: Final = "/api/v1/namespaces/kubeflow/services/ml-pipeline:http/proxy"
_URL: Final = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")


@dataclass(frozen=True)
class Endpoint:
    """A server and our identity.

    Attributes:
      url: Address without a slash at the end.
      token: Bearer token; never part of a message or of the representation.
      namespace: Namespace of experiments and runs; None if the server has only one.
      ca_cert: File with the certificate authority to trust; None for the system's.
      cert_file: File with the client certificate.
      key_file: File with the client certificate's private key.
    """

    url: str
    token: str | None = field(default=None, repr=False)
    namespace: str | None = None
    ca_cert: str | None = None
    cert_file: str | None = None
    key_file: str | None = None


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
    namespace = namespace or environment.get(NAMESPACE_ENV)
    token = _find_token(token_file, environment)
    url = url or environment.get(ENDPOINT_ENV)
    if url is not None:
        if not _URL.fullmatch(url):
            raise UsageError(
                "The address of Kubeflow Pipelines is not an http:// or https:// URL",
                "Give --endpoint like https://kubeflow.example.com/pipeline.",
            )
        return Endpoint(url.rstrip("/"), token, namespace)
    if context is None and "KUBERNETES_SERVICE_HOST" in environment:
        return Endpoint(_IN_CLUSTER, token, namespace)
    return _from_kube_config(context, namespace)


def is_loopback(host: str) -> bool:
    """Whether a host name means this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _find_token(token_file: Path | None, environment: Mapping[str, str]) -> str | None:
    source = str(token_file or TOKEN_ENV)
    if token_file is None and environment.get(TOKEN_ENV):
        token = environment[TOKEN_ENV]
    else:
        mounted = environment.get(_SERVICE_ACCOUNT_TOKEN_ENV, _SERVICE_ACCOUNT_TOKEN)
        if token_file is None and not Path(mounted).is_file():
            return None
        source = str(token_file or mounted)
        token = _read_token(Path(source))
    if not token or not token.isascii() or not token.isprintable():
        raise UserError(
            f"{source} holds no token: it is empty or not printable text",
            "Give --token-file a file with a bearer token.",
        )
    return token


def _read_token(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError as error:
        raise UserError(
            f"The token in {path} cannot be read: {error.strerror}",
            "Give --token-file a file with a bearer token.",
        ) from error


def _from_kube_config(context: str | None, namespace: str | None) -> Endpoint:
    """Reaches the server through the Kubernetes API server, as `kubectl` does."""
    remedy = f"Give --endpoint, or set {ENDPOINT_ENV}."
    try:
        from kubernetes import client, config
    except ImportError as error:
        raise UsageError("No Kubeflow Pipelines server is named", remedy) from error
    settings: Any = client.Configuration()
    try:
        config.load_kube_config(client_configuration=settings, context=context)
    except Exception as error:  # ConfigException, and whatever its plug-ins raise
        raise UsageError(
            "No Kubeflow Pipelines server is named, and the kube config names none: "
            f"{' '.join(str(error).split())}",
            remedy,
        ) from error
    authorization = settings.get_api_key_with_prefix("authorization") or ""
    return Endpoint(
        settings.host.rstrip("/") + _KUBERNETES_PROXY,
        authorization.removeprefix("Bearer ").strip() or None,
        namespace,
        settings.ssl_ca_cert,
        settings.cert_file,
        settings.key_file,
    )
