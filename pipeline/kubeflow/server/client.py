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
from typing import Any, Final, NamedTuple

from pipeline.kubeflow.server import errors
from pipeline.kubeflow.server.bounded_http import REPEATABLE, bounded
from pipeline.kubeflow.server.endpoint import Endpoint
from trainer.errors import UserError

Json = dict[str, Any]
_ROOT: Final = "/apis/v2beta1/"
_PAGE_SIZE: Final = 100
_RETRIES: Final = 3
_VERSION_DIGITS: Final = 12


class Collection(NamedTuple):
    """Path of a listing, key of its resources, key of their ids."""

    path: str
    items: str
    id: str
    has_namespace: bool = True


PIPELINES: Final = Collection("pipelines", "pipelines", "pipeline_id")
EXPERIMENTS: Final = Collection("experiments", "experiments", "experiment_id")
RUNS: Final = Collection("runs", "runs", "run_id")
SCHEDULES: Final = Collection("recurringruns", "recurringRuns", "recurring_run_id")


class Version(NamedTuple):
    """A version of the pipeline on the server; its name is the hash of its content."""

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

    def __init__(self, endpoint: Endpoint, *, backoff_seconds: float = 0.5) -> None:
        """Makes the client; nothing is sent yet.

        Args:
          endpoint: The server.
          backoff_seconds: Wait before the first retry of a creation; doubled each time.

        Raises:
          UserError: The address or the token is invalid.
        """
        configuration = endpoint.configuration()
        self.url = str(configuration.host)
        self.scope = endpoint.scope()
        self._timeout = (endpoint.timeout_seconds, endpoint.timeout_seconds)
        self._backoff = backoff_seconds
        self._api = _api_client(configuration, endpoint, backoff_seconds)

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
          file: Name and content of a file to send as a form, instead of `body`.
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
        except (ApiException, HTTPError) as error:
            raise errors.translate(self.url, error) from error
        except RecursionError as error:
            raise errors.not_json(self.url) from error
        if not isinstance(answer or {}, dict):
            raise errors.not_json(self.url)
        return answer or {}

    def check(self) -> None:
        """Checks that a server of version 2 answers.

        Raises:
          UserError: It does not, it cannot be reached, or it rejects the token.
        """
        try:
            self.request("GET", "healthz")
        except errors.NotFoundError as error:
            raise UserError(
                f"{self.url} is not a Kubeflow Pipelines server of version 2",
                "Check --endpoint; version 1 cannot run this pipeline.",
            ) from error

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

    def find(self, collection: Collection, name: str) -> str | None:
        """The id of the newest resource of a name; None if there is none."""
        for item in self.items(collection):
            if item.get("display_name") == name:
                return str(item[collection.id])
        return None

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
                    return found
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
        known = self.find(PIPELINES, name)
        body = {"display_name": name, **self.scope}
        pipeline_id = known or self.create(PIPELINES, body)
        path = f"pipelines/{pipeline_id}/versions"
        versions = Collection(path, "pipeline_versions", "pipeline_version_id", False)
        digest = hashlib.sha256(text.encode()).hexdigest()[:_VERSION_DIGITS]
        found = self.find(versions, digest)
        if found is not None:
            return Version(pipeline_id, found, digest, is_new=False)

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
            if known is None:
                self.request("DELETE", f"pipelines/{pipeline_id}")
            raise
        return Version(pipeline_id, version_id, digest, is_new=True)


def _api_client(configuration: Any, endpoint: Endpoint, backoff_seconds: float) -> Any:
    """Makes the HTTP client, with retries, proxy, trusted authorities and bounds."""
    from kfp_server_api import ApiClient
    from urllib3 import Retry

    # urllib3 warns of each retry; only the last error is reported.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    configuration.proxy = _proxy(configuration.host)
    configuration.retries = Retry(
        total=_RETRIES,
        other=0,
        allowed_methods=REPEATABLE,
        status=0,
        backoff_factor=backoff_seconds,
    )
    client = ApiClient(configuration)
    if configuration.verify_ssl:
        # Trust what the system trusts, not only the authorities of `certifi`.
        context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
        client.rest_client.pool_manager.connection_pool_kw["ssl_context"] = context
    pool = client.rest_client.pool_manager
    pool.request = bounded(
        pool.request,
        timeout_seconds=endpoint.timeout_seconds,
        retries=_RETRIES,
        backoff_seconds=backoff_seconds,
    )
    return client


def _proxy(url: str) -> str | None:
    """The proxy of the environment; None for this machine, which needs none."""
    parts = urllib.parse.urlsplit(url)
    host = parts.hostname or ""
    is_local = host in ("localhost", "::1") or host.startswith("127.")
    if is_local or urllib.request.proxy_bypass(host):
        return None
    return urllib.request.getproxies().get(parts.scheme)
