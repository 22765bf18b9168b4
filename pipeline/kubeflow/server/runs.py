"""Runs on a server: started and followed."""

from __future__ import annotations

import datetime
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from pipeline.kubeflow.server.client import Client, Version
from pipeline.kubeflow.server.rest import Json
from pipeline.kubeflow_runner import SPAN

_ENDED: Final = ("SUCCEEDED", "SKIPPED", "FAILED", "CANCELED")
_GOOD: Final = ("SUCCEEDED", "SKIPPED")
_POLL_SECONDS: Final = 5.0
_STUCK_SECONDS: Final = 600
_PINNED: Final = re.compile(r"[0-9]+|[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True)
class Submission:
    """What a run is made of.

    Attributes:
      experiment: Experiment that the run belongs to; None for the pipeline's own.
      service_account: Kubernetes account of the pods; None for the server's default.
      span: Last span; None for what the file says.
    """

    experiment: str | None = None
    service_account: str | None = None
    span: str | None = None

    def body(self, client: Client, version: Version, pipeline: str) -> Json:
        """What runs and schedules have in common."""
        experiment_id = client.experiment(
            self.experiment or pipeline, create=self.experiment is None
        )
        parameters = {} if self.span is None else {SPAN: self.span}
        body: Json = {
            "experiment_id": experiment_id,
            "pipeline_version_reference": version.reference(),
            "runtime_config": {"parameters": parameters},
        }
        if self.service_account is not None:
            body["service_account"] = self.service_account
        return body


def check_span(span: str) -> None:
    """Refuses a span that the first step would refuse.

    Raises:
      UserError: It is none.
    """
    from components.movielens_example_gen.parameters import last_span

    last_span(span, datetime.datetime.now(datetime.timezone.utc).date())


def is_pinned(span: str | None) -> bool:
    """Whether a span means the same data whenever the run starts."""
    return span is not None and _PINNED.fullmatch(span) is not None


def start(
    client: Client, version: Version, pipeline: str, submission: Submission
) -> str:
    """Starts a run; returns its id."""
    now = datetime.datetime.now(datetime.timezone.utc)
    name = f"{pipeline}-{now:%Y%m%d-%H%M%S-%f}"
    body = submission.body(client, version, pipeline)
    return client.start_run({"display_name": name, **body})


def link(client: Client, run_id: str) -> str:
    """The page of a run."""
    return f"{client.url}/#/runs/details/{run_id}"


def follow(
    client: Client,
    run_id: str,
    say: Callable[[str], None],
    *,
    poll_seconds: float = _POLL_SECONDS,
) -> bool:
    """Waits for the end of a run and tells of each step's states.

    Args:
      client: The server.
      run_id: The run.
      say: Is told one line at a time.
      poll_seconds: Wait between two looks.

    Returns:
      Whether the run succeeded.
    """
    seen: dict[str, str] = {}
    started, warned = time.monotonic(), False
    while True:
        run = client.get_run(run_id)
        for name, state, cause in _news(run, seen):
            say(f"{name:<22}{state.lower()}{cause}")
        state = run.get("state", "")
        if state in _ENDED:
            cause = run.get("error", {}).get("message", "")
            say(f"Run {run_id} {state.lower()}{f': {cause}' if cause else ''}")
            return state in _GOOD
        waiting = time.monotonic() - started > _STUCK_SECONDS
        if waiting and not warned and "RUNNING" not in seen.values():
            say(
                "No step has begun yet: `kubectl get events` tells whether the image "
                "cannot be pulled, a secret or claim is missing, or no node is free."
            )
            warned = True
        time.sleep(poll_seconds)


def _news(run: Json, seen: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yields steps whose state is another than when last looked at."""
    for task in run.get("run_details", {}).get("task_details", []):
        name, state = str(task.get("display_name", "")), str(task.get("state", ""))
        # Drivers, the run itself and what the server starts around a step.
        if not name or name.startswith(("root", "system", run["display_name"])):
            continue
        if name.endswith("-driver") or name == "executor" or not state:
            continue
        if seen.get(name) != state:
            seen[name] = state
            message = task.get("error", {}).get("message", "")
            yield name, state, f": {message}" if message else ""
