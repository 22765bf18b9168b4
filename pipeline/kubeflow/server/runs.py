"""Runs of the pipeline on a server: starting and following them."""

from __future__ import annotations

import datetime
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from pipeline.kubeflow import run_day
from pipeline.kubeflow.server.client import EXPERIMENTS, RUNS, Client, Json, Version
from trainer.errors import UserError

_FINAL_STATES: Final = ("SUCCEEDED", "SKIPPED", "FAILED", "CANCELED")
_SUCCESS_STATES: Final = ("SUCCEEDED", "SKIPPED")
_POLL_SECONDS: Final = 5.0
_STUCK_SECONDS: Final = 600
_FIXED_SPAN: Final = re.compile(r"[0-9]+|[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True)
class RunSettings:
    """What single runs and schedules have in common.

    Attributes:
      experiment: Experiment of the runs; None for the one named after the pipeline,
        which is created if need be.
      service_account: Kubernetes account of the pods; None for the server's default.
      span: Last span to read; None for the default in the compiled file.
    """

    experiment: str | None = None
    service_account: str | None = None
    span: str | None = None

    def body(self, client: Client, version: Version, pipeline: str) -> Json:
        """The fields of a request that starts or schedules runs.

        Raises:
          UserError: There is no experiment of that name.
        """
        experiment_id = client.find(EXPERIMENTS, self.experiment or pipeline)
        if experiment_id is None:
            if self.experiment is not None:
                raise UserError(
                    f"There is no experiment {self.experiment!r}",
                    "Create it, or leave out --experiment to use the pipeline's own.",
                )
            experiment = {"display_name": pipeline, **client.scope}
            experiment_id = client.create(EXPERIMENTS, experiment)
        from pipeline.kubeflow.config import SPAN_PARAMETER

        parameters = {} if self.span is None else {SPAN_PARAMETER: self.span}
        body: Json = {
            "experiment_id": experiment_id,
            "pipeline_version_reference": {
                "pipeline_id": version.pipeline_id,
                "pipeline_version_id": version.version_id,
            },
            "runtime_config": {"parameters": parameters},
        }
        if self.service_account is not None:
            body["service_account"] = self.service_account
        return body


def check_span(span: str) -> None:
    """Rejects a span that the first step would reject.

    Raises:
      UserError: It is not a number, a date or a word such as `yesterday`.
    """
    from components.movielens_example_gen.parameters import last_span

    last_span(span, datetime.datetime.now(datetime.timezone.utc).date())


def is_pinned(span: str | None) -> bool:
    """Whether a span means the same data whenever the run starts."""
    return span is not None and _FIXED_SPAN.fullmatch(span) is not None


def start(
    client: Client, version: Version, pipeline: str, settings: RunSettings
) -> str:
    """Starts a run; returns its id.

    A relative span is counted from now: whenever its steps run, it is the same day.
    """
    now = datetime.datetime.now(datetime.timezone.utc)
    if settings.span is not None:
        settings = replace(settings, span=run_day.fixed(settings.span, now))
    name = f"{pipeline}-{now:%Y%m%d-%H%M%S-%f}"
    return client.create(
        RUNS, {"display_name": name, **settings.body(client, version, pipeline)}
    )


def follow(
    client: Client,
    run_id: str,
    report: Callable[[str], None],
    *,
    poll_seconds: float = _POLL_SECONDS,
) -> bool:
    """Waits for the end of a run and reports each change of a step's state.

    Args:
      client: The server.
      run_id: The run.
      report: Called with one line at a time.
      poll_seconds: Wait between two requests.

    Returns:
      Whether the run succeeded.
    """
    states: dict[str, str] = {}
    started, warned = time.monotonic(), False
    while True:
        run = client.request("GET", f"runs/{run_id}")
        for task in _changed_steps(run, states):
            report(f"{task['display_name']:<22}{task['state'].lower()}{_cause(task)}")
        state = run.get("state", "")
        if state in _FINAL_STATES:
            report(f"Run {run_id} {state.lower()}{_cause(run)}")
            return state in _SUCCESS_STATES
        waiting = time.monotonic() - started > _STUCK_SECONDS
        if waiting and not warned and "RUNNING" not in states.values():
            report(
                "No step has started yet: `kubectl get events` shows whether the image "
                "cannot be pulled, a secret or claim is missing, or no node is free."
            )
            warned = True
        time.sleep(poll_seconds)


def _changed_steps(run: Json, states: dict[str, str]) -> Iterator[Json]:
    """Yields the steps whose state changed; updates `states`."""
    for task in run.get("run_details", {}).get("task_details", []):
        name, state = task.get("display_name"), task.get("state")
        # Drivers, the run itself, and what else the server starts around a step.
        if not name or name.startswith(("root", "system", run["display_name"])):
            continue
        if name.endswith("-driver") or name == "executor" or not state:
            continue
        if states.get(name) != state:
            states[name] = state
            yield task


def _cause(item: Json) -> str:
    message = item.get("error", {}).get("message", "")
    return f": {message}" if message else ""
