"""Pipelines, runs and schedules of a Kubeflow Pipelines server."""

from __future__ import annotations

import hashlib
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from pipeline.kubeflow.server.rest import Json, Rest
from pipeline.kubeflow.server.rest_errors import (
    Conflict,
    NotFound,
    Unanswered,
    no_kubeflow,
)
from trainer.errors import UserError

_PAGE: Final = "100"
_VERSION_DIGITS: Final = 12


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

    def reference(self) -> Json:
        """How a run names it."""
        return {
            "pipeline_id": self.pipeline_id,
            "pipeline_version_id": self.version_id,
        }


class Client:
    """What `two-tower` asks of a server.

    Attributes:
      rest: Requests to it.
      scope: The namespace, as listings and new things name it.
    """

    def __init__(self, rest: Rest) -> None:
        """Makes the client; nothing is sent yet."""
        self.rest = rest
        namespace = rest.endpoint.namespace
        self.scope = {"namespace": namespace} if namespace else {}

    @property
    def url(self) -> str:
        """The server's address."""
        return self.rest.endpoint.url

    def check(self) -> None:
        """Finds out whether this is a server of version 2 that talks to us.

        Raises:
          UserError: It is not, or it cannot be reached.
        """
        try:
            self.rest.get("healthz")
        except NotFound as error:
            raise no_kubeflow(self.url) from error

    def deploy(self, name: str, text: str) -> Version:
        """Uploads the pipeline, unless the server has just this one.

        Args:
          name: The pipeline's name; its versions are named by the hash of the content.
          text: The compiled file.

        Raises:
          UserError: The server refuses it; a pipeline without version is not left.
        """
        digest = hashlib.sha256(text.encode()).hexdigest()[:_VERSION_DIGITS]
        pipeline_id, is_new = self._pipeline(name)
        found = self._find_version(pipeline_id, digest)
        if found is not None:
            return Version(pipeline_id, found, digest, is_new=False)

        def upload() -> str:
            answer = self.rest.upload(
                "pipelines/upload_version",
                f"{name}.yaml",
                text.encode(),
                name=digest,
                pipelineid=pipeline_id,
            )
            return str(answer["pipeline_version_id"])

        try:
            version_id = once(upload, lambda: self._find_version(pipeline_id, digest))
        except UserError:
            if is_new:
                self.rest.delete(f"pipelines/{pipeline_id}")
            raise
        return Version(pipeline_id, version_id, digest, is_new=True)

    def _pipeline(self, name: str) -> tuple[str, bool]:
        found = self._find_pipeline(name)
        if found is not None:
            return found, False

        def create() -> str:
            body = {"display_name": name, **self.scope}
            return str(self.rest.post("pipelines", body)["pipeline_id"])

        return once(create, lambda: self._find_pipeline(name)), True

    def _find_pipeline(self, name: str) -> str | None:
        try:
            path = f"pipelines/names/{urllib.parse.quote(name, safe='')}"
            return str(self.rest.get(path, **self.scope)["pipeline_id"])
        except NotFound:
            return None

    def _find_version(self, pipeline_id: str, name: str) -> str | None:
        path = f"pipelines/{pipeline_id}/versions"
        found = self.named(name, path, "pipeline_versions")
        return None if found is None else str(found["pipeline_version_id"])

    def experiment(self, name: str, *, create: bool) -> str:
        """The id of an experiment.

        Args:
          name: Its name.
          create: Whether it is made where there is none.

        Raises:
          UserError: There is none of that name.
        """

        def find() -> str | None:
            known = self.named(name, "experiments", "experiments", **self.scope)
            return None if known is None else str(known["experiment_id"])

        found = find()
        if found is not None:
            return found
        if not create:
            raise UserError(
                f"There is no experiment {name!r}",
                "Create it, or leave --experiment out to have the pipeline's own.",
            )
        body = {"display_name": name, **self.scope}
        return once(
            lambda: str(self.rest.post("experiments", body)["experiment_id"]), find
        )

    def start_run(self, body: Json) -> str:
        """Starts a run, once; returns its id.

        Args:
          body: The run; its `display_name` must be unique.
        """

        def find() -> str | None:
            run = self.named(body["display_name"], "runs", "runs", **self.scope)
            return None if run is None else str(run["run_id"])

        return once(lambda: str(self.rest.post("runs", body)["run_id"]), find)

    def get_run(self, run_id: str) -> Json:
        """A run with its state and its tasks."""
        return self.rest.get(f"runs/{run_id}")

    def named(self, name: str, path: str, key: str, **query: str) -> Json | None:
        """The newest item of a name in a listing; None where there is none."""
        for item in self.pages(path, key, **query):
            if item.get("display_name") == name:
                return item
        return None

    def pages(self, path: str, key: str, **query: str) -> Iterator[dict[str, Any]]:
        """Yields the items of a listing, newest first, page by page."""
        token = ""
        while True:
            page = {"page_token": token} if token else {}
            answer = self.rest.get(
                path, page_size=_PAGE, sort_by="created_at desc", **query, **page
            )
            yield from answer.get(key, [])
            token = answer.get("next_page_token", "")
            if not token:
                return


def once(create: Callable[[], str], find: Callable[[], str | None]) -> str:
    """Creates something that is there once, whatever became of the answer."""
    try:
        return create()
    except (Conflict, Unanswered):
        found = find()
        if found is None:
            raise
        return found
