"""Where the Kubeflow Pipelines server is and who we are to it."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from trainer.errors import UsageError, UserError

ENDPOINT_ENV: Final = "TWO_TOWER_KFP_ENDPOINT"
TOKEN_ENV: Final = "TWO_TOWER_KFP_TOKEN"
NAMESPACE_ENV: Final = "TWO_TOWER_KFP_NAMESPACE"
# Kubeflow mounts a service account's token here in its notebooks and jobs.
_SA_TOKEN_ENV: Final = "KF_PIPELINES_SA_TOKEN_PATH"
_SA_TOKEN: Final = "/var/run/secrets/kubeflow/pipelines/token"
_IN_CLUSTER: Final = "http://ml-pipeline.kubeflow.svc.cluster.local:8888"
_PROXY: Final = "/api/v1/namespaces/kubeflow/services/ml-pipeline:http/proxy"
_URL: Final = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")


@dataclass(frozen=True)
class Endpoint:
    """A server and our identity.

    Attributes:
      url: Without a slash at the end.
      token: Bearer token; None for none. It is in no message and no representation.
      namespace: Of experiments and runs; None for the server's only one.
      tls: Whom we trust and, by a client certificate, who we are.
    """

    url: str
    token: str | None = field(default=None, repr=False)
    namespace: str | None = None
    tls: ssl.SSLContext | None = field(default=None, repr=False)


def find(
    *,
    url: str | None,
    token_file: Path | None,
    namespace: str | None,
    context: str | None,
    environment: Mapping[str, str] = os.environ,
) -> Endpoint:
    """Takes what was given, else the environment, else the kube config.

    Args:
      url: The server's address.
      token_file: File with a bearer token.
      namespace: Namespace of the runs.
      context: Context of the kube config by which the server is reached.
      environment: Environment variables.

    Raises:
      UsageError: The address is none, or there is none.
      UserError: The token or the kube config cannot be read.
    """
    namespace = namespace or environment.get(NAMESPACE_ENV)
    token = _token(token_file, environment)
    url = url or environment.get(ENDPOINT_ENV)
    if url is not None:
        if not _URL.fullmatch(url):
            raise UsageError(
                "The address of Kubeflow Pipelines is no http:// or https:// URL",
                "Give --endpoint like https://kubeflow.example.com/pipeline.",
            )
        return Endpoint(url.rstrip("/"), token, namespace)
    if context is None and "KUBERNETES_SERVICE_HOST" in environment:
        return Endpoint(_IN_CLUSTER, token, namespace)
    return _from_kube_config(context, namespace)


def _token(token_file: Path | None, environment: Mapping[str, str]) -> str | None:
    if token_file is None and environment.get(TOKEN_ENV):
        return environment[TOKEN_ENV]
    service_account = Path(environment.get(_SA_TOKEN_ENV, _SA_TOKEN))
    path = token_file or (service_account if service_account.is_file() else None)
    if path is None:
        return None
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UserError(
            f"The token in {path} cannot be read: {reason}",
            "Give --token-file a file with a bearer token.",
        ) from error
    if not token or any(not letter.isprintable() for letter in token):
        raise UserError(
            f"{path} holds no token", "Give --token-file a file with a bearer token."
        )
    return token


def _from_kube_config(context: str | None, namespace: str | None) -> Endpoint:
    """By way of the Kubernetes API server, whose proxy `kubectl` uses too."""
    try:
        from kubernetes import client, config
    except ImportError as error:
        raise UsageError(
            "No Kubeflow Pipelines server is named",
            f"Give --endpoint, or set {ENDPOINT_ENV}.",
        ) from error
    settings: Any = client.Configuration()
    try:
        config.load_kube_config(client_configuration=settings, context=context)
    except Exception as error:  # config.ConfigException, and what its plug-ins raise
        raise UsageError(
            "No Kubeflow Pipelines server is named, and the kube config names none: "
            f"{' '.join(str(error).split())}",
            f"Give --endpoint, or set {ENDPOINT_ENV}.",
        ) from error
    tls = ssl.create_default_context(cafile=settings.ssl_ca_cert)
    if settings.cert_file:
        tls.load_cert_chain(settings.cert_file, settings.key_file)
    authorization = settings.get_api_key_with_prefix("authorization") or ""
    token = authorization.removeprefix("Bearer ").strip() or None
    return Endpoint(settings.host.rstrip("/") + _PROXY, token, namespace, tls)
