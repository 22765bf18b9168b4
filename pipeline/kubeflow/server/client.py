"""Pipelines, experiments, runs and schedules of a Kubeflow Pipelines server.

Requests go through `kfp_server_api.ApiClient`, the HTTP client beneath `kfp.Client`, to
the public REST API v2beta1. `kfp.Client` itself fails tests that matter (kfp 2.5.0;
2.16.1 has the same code):

- None of its methods takes a timeout: a server that accepts a request and never answers
  blocks the command for ever.
- Its constructor sends requests: with a wrong token it retries for 25 seconds and then
  raises a TimeoutError that does not mention the status 401.
- It cannot create a pipeline without naming the first version after the pipeline, while
  ours are named by the hash of their content.
- It prints links, and takes namespace and cookies from `~/.config/kfp`.

Requests name paths, not the generated methods, whose names differ between the versions
(`create_run` in kfp_server_api 2.0, `run_service_create_run` in 2.17).
"""

from __future__ import annotations

import hashlib
import logging
import ssl
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from pipeline.kubeflow.server import errors
from pipeline.kubeflow.server.endpoint import Endpoint, is_loopback
from trainer.errors import UserError

Json = dict[str, Any]
_ROOT: Final = "/apis/v2beta1/"
_PAGE_SIZE: Final = 100
_RETRIES: Final = 3
_VERSION_DIGITS: Final = 12


@dataclass(frozen=True)
class Collection:
    """One kind of resource, as the REST API names it.

    Attributes:
      path: Path of the listing, below `/apis/v2beta1/`.
      items: Key of the resources in the listing.
      id: Key of a resource's id.
      has_namespace: Whether the listing takes a namespace.
    """

    path: str
    items: str
    id: str
    has_namespace: bool = True


PIPELINES: Final = Collection("pipelines", "pipelines", "pipeline_id")
EXPERIMENTS: Final = Collection("experiments", "experiments", "experiment_id")
RUNS: Final = Collection("runs", "runs", "run_id")
SCHEDULES: Final = Collection("recurringruns", "recurringRuns", "recurring_run_id")


@dataclass(frozen=True)
class Version:
    """A version of the pipeline on the server.

    Attributes:
      pipeline_id: The pipeline's id.
      version_id: The version's id.
      name: The version's name: the hash of its content.
      is_new: Whether it was uploaded just now.
    """

    pipeline_id: str
    version_id: str
    name: str
    is_new: bool


class Client:
    """The requests that `two-tower` sends to a server.

    A read or a deletion that fails is repeated with exponential backoff. A request that
    creates something is repeated only when it was not delivered, or when the server was
    busy and a look shows that nothing was created.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        timeout_seconds: float = 30.0,
        backoff_seconds: float = 0.5,
    ) -> None:
        """Makes the client; nothing is sent yet.

        Args:
          endpoint: The server.
          timeout_seconds: Longest wait for the connection, and for the next bytes.
          backoff_seconds: Wait before the first retry of a creation; doubled each time.
        """
        self.url = endpoint.url
        self.scope = {"namespace": endpoint.namespace} if endpoint.namespace else {}
        self._timeout = (timeout_seconds, timeout_seconds)
        self._backoff = backoff_seconds
        self._api = _api_client(endpoint, backoff_seconds)

    def request(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        file: tuple[str, bytes] | None = None,
        **query: Any,
    ) -> Json:
        """Sends a request; returns the JSON of the answer.

        Args:
          method: HTTP method.
          path: Path below `/apis/v2beta1/`.
          body: JSON to send.
          file: Name and content of a file to send as a form, in place of `body`.
          **query: Parameters of the URL.

        Raises:
          UserError: The request failed; see `pipeline.kubeflow.server.errors`.
        """
        from kfp_server_api import ApiException
        from urllib3.exceptions import HTTPError

        content_type = "multipart/form-data" if file else "application/json"
        try:
            answer = self._api.call_api(
                _ROOT + path,
                method,
                query_params=query,
                header_params={
                    "Accept": "application/json",
                    "Content-Type": content_type,
                },
                body=body,
                post_params=[("uploadfile", file)] if file else None,
                response_type="object",
                auth_settings=["Bearer"],
                _return_http_data_only=True,
                _request_timeout=self._timeout,
            )
        except ApiException as error:
            raise errors.from_status(self.url, error.status, error.body) from error
        except HTTPError as error:
            raise errors.from_connection(self.url, error) from error
        except UnicodeDecodeError as error:
            raise errors.not_json(self.url) from error
        if answer in (None, ""):
            return {}
        if not isinstance(answer, dict):
            raise errors.not_json(self.url)
        return answer

    def check(self) -> None:
        """Checks that a server of version 2 answers and accepts the token.

        Raises:
          UserError: It does not, or it cannot be reached.
        """
        try:
            self.request("GET", "healthz")
        except errors.NotFoundError as error:
            raise errors.not_kubeflow(self.url) from error

    def items(self, collection: Collection) -> Iterator[Json]:
        """Yields the resources of a listing, newest first, page by page."""
        scope = self.scope if collection.has_namespace else {}
        query: Json = {"page_size": _PAGE_SIZE, "sort_by": "created_at desc", **scope}
        while True:
            answer = self.request("GET", collection.path, **query)
            yield from answer.get(collection.items, [])
            query["page_token"] = answer.get("next_page_token")
            if not query["page_token"]:
                return

    def find(self, collection: Collection, name: str) -> Json | None:
        """The newest resource of a name; None if there is none."""
        named = (i for i in self.items(collection) if i.get("display_name") == name)
        return next(named, None)

    def create(
        self,
        collection: Collection,
        body: Json,
        send: Callable[[], Json] | None = None,
    ) -> str:
        """Creates a resource exactly once, even if the answer gets lost.

        After a conflict or an unknown outcome, the listing is searched for the name. A
        busy server (429, 503) that has none of that name is asked again.

        Args:
          collection: The kind of the resource.
          body: The resource; its `display_name` must be unique.
          send: Sends the request; by default `body` is posted to the collection.

        Returns:
          The id of the resource, created now or by the request without an answer.

        Raises:
          UserError: It was not created, or it is unknown whether it was.
        """
        send = send or (lambda: self.request("POST", collection.path, body))
        for retry in range(_RETRIES + 1):
            try:
                return str(send()[collection.id])
            except (errors.ConflictError, errors.UnknownOutcomeError) as error:
                found = self.find(collection, body["display_name"])
                if found is not None:
                    return str(found[collection.id])
                if retry == _RETRIES or not isinstance(error, errors.BusyError):
                    raise
            time.sleep(self._backoff * 2**retry)
        raise AssertionError("unreachable")

    def deploy(self, name: str, text: str) -> Version:
        """Uploads the pipeline, unless the server has exactly this version.

        Args:
          name: The pipeline's name; its versions are named by the hash of the content.
          text: The compiled file.

        Raises:
          UserError: The server rejects it. A pipeline without a version is not left.
        """
        digest = hashlib.sha256(text.encode()).hexdigest()[:_VERSION_DIGITS]
        pipeline = self.find(PIPELINES, name)
        body = {"display_name": name, **self.scope}
        pipeline_id = (
            self.create(PIPELINES, body)
            if pipeline is None
            else pipeline["pipeline_id"]
        )
        versions = Collection(
            f"pipelines/{pipeline_id}/versions",
            "pipeline_versions",
            "pipeline_version_id",
            has_namespace=False,
        )
        found = self.find(versions, digest)
        if found is not None:
            return Version(pipeline_id, found[versions.id], digest, is_new=False)

        def upload() -> Json:
            return self.request(
                "POST",
                "pipelines/upload_version",
                file=(f"{name}.yaml", text.encode()),
                name=digest,
                pipelineid=pipeline_id,
            )

        try:
            version_id = self.create(versions, {"display_name": digest}, upload)
        except UserError:
            if pipeline is None:
                self.request("DELETE", f"pipelines/{pipeline_id}")
            raise
        return Version(pipeline_id, version_id, digest, is_new=True)


def _api_client(endpoint: Endpoint, backoff_seconds: float) -> Any:
    """Configures the HTTP client: identity, TLS, proxy and retries."""
    from kfp_server_api import ApiClient, Configuration
    from urllib3 import Retry

    configuration = Configuration(host=endpoint.url)
    # urllib3 warns of each retry; the error of the last one says enough.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    if endpoint.token is not None:
        configuration.api_key["authorization"] = endpoint.token
        configuration.api_key_prefix["authorization"] = "Bearer"
    configuration.ssl_ca_cert = endpoint.ca_cert
    configuration.cert_file = endpoint.cert_file
    configuration.key_file = endpoint.key_file
    configuration.proxy = _proxy(endpoint.url)
    configuration.retries = Retry(
        total=_RETRIES,
        other=0,
        allowed_methods=("GET", "DELETE"),
        status_forcelist=(429, *range(500, 600)),
        backoff_factor=backoff_seconds,
        raise_on_status=False,
        respect_retry_after_header=False,
    )
    client = ApiClient(configuration)
    # Trust what the system trusts, not only the authorities of `certifi`.
    context = ssl.create_default_context(cafile=endpoint.ca_cert)
    client.rest_client.pool_manager.connection_pool_kw["ssl_context"] = context
    return client


def _proxy(url: str) -> str | None:
    """The proxy of the environment; None for this machine, which needs none."""
    parts = urllib.parse.urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host) or urllib.request.proxy_bypass(host):
        return None
    return urllib.request.getproxies().get(parts.scheme)
