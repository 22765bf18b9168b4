"""Asks a Flink or Spark cluster what it is and what is free, over HTTP."""

from __future__ import annotations

import http.client
import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pipeline.engines.config import EngineConfig
from trainer.errors import UserError

_SECONDS: Final = 5.0  # for one answer
_POLL_SECONDS: Final = 2.0
_SPARK_PAGE: Final = 8080
_HTTP_ERRORS: Final = (OSError, ValueError, http.client.HTTPException)


@dataclass(frozen=True)
class Cluster:
    """What a cluster says about itself.

    Attributes:
      version: Of Flink or Spark; empty if it does not say.
      workers: TaskManagers of Flink, or living workers of Spark.
      slots: All slots of Flink, or cores of Spark.
      free: Those that no job has.
      applications: Of Spark: id -> state.
    """

    version: str
    workers: int
    slots: int
    free: int
    applications: Mapping[str, str] = field(default_factory=dict)

    def hindered(self, others: Container[str]) -> str:
        """Why a job cannot run that is not among others, by id; empty if it can."""
        states = {
            state for id_, state in self.applications.items() if id_ not in others
        }
        if states == {"WAITING"}:
            return f"the job waits for one of the {self.slots} cores"
        return "" if self.workers else "the cluster has no worker"


class UnreachableError(UserError):
    """A cluster, job server or worker pool does not answer."""


def page(engine: EngineConfig) -> str:
    """Address of the cluster's REST API or web page."""
    if engine.web_url is not None:
        return engine.web_url.rstrip("/")
    if engine.runner == "spark":
        host = f"{engine.master}".removeprefix("spark://").partition(",")[0]
        return f"http://{host.rpartition(':')[0]}:{_SPARK_PAGE}"
    return f"http://{engine.master}"


def ask(engine: EngineConfig) -> Cluster:
    """Asks a cluster of Flink or Spark.

    Raises:
      UnreachableError: It does not answer.
    """
    return _flink(engine) if engine.runner == "flink" else _spark(engine)


def check_reachable(engine: EngineConfig) -> Cluster | None:
    """Asks whatever the submitter talks to: a cluster, a job server, a worker pool.

    Returns:
      What a cluster says; None for the others.

    Raises:
      UnreachableError: It does not answer.
    """
    if engine.runner in ("flink", "spark"):
        return ask(engine)
    if engine.runner == "portable":
        if engine.master != "embed":
            connect(f"{engine.master}", "The job server")
        elif engine.environment == "external":
            connect(f"{engine.environment_config}", "The worker pool")
    return None


def wait_for_slot(
    engine: EngineConfig, report: Callable[[str], None] = lambda text: None
) -> Cluster | None:
    """Waits until the cluster has as many free slots as the job needs.

    Args:
      engine: The engine.
      report: Is given a line when the waiting begins.

    Returns:
      The cluster; None if the engine has no page to ask.

    Raises:
      UnreachableError: It did not answer for `engine.timeout_seconds`.
      UserError: There was no slot for so long.
    """
    needed = max(engine.parallelism, 1)
    unit = "slots" if engine.runner == "flink" else "cores"
    deadline = time.monotonic() + engine.timeout_seconds
    waits = False
    while True:
        is_last = time.monotonic() >= deadline
        try:
            found = check_reachable(engine)
        except UnreachableError:
            if is_last:
                raise
            why = f"{engine.runner} does not answer"
        else:
            if found is None or found.free >= needed:
                return found
            why = f"{engine.runner} has {found.free} of {found.slots} {unit} free"
            if is_last:
                raise UserError(
                    f"{why}, and the step needs {needed}; waited "
                    f"{engine.timeout_seconds} s",
                    "Wait for other jobs or add workers, lower engine.parallelism, or "
                    "raise engine.timeout_seconds.",
                )
        if not waits:
            report(f"waiting: {why}")
            waits = True
        time.sleep(min(_POLL_SECONDS, max(deadline - time.monotonic(), 0.0)))


def connect(address: str, what: str) -> None:
    """Opens a TCP connection and closes it.

    Raises:
      UnreachableError: It cannot be opened.
    """
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _SECONDS):
            return
    except (OSError, ValueError, OverflowError) as error:
        raise UnreachableError(
            f"{what} at {address} does not answer: {error}",
            "Start it, or correct its address in the section engine.",
        ) from error


def _flink(engine: EngineConfig) -> Cluster:
    found = _get(f"{page(engine)}/overview", engine)
    return Cluster(
        version=str(found.get("flink-version", "")),
        workers=int(found.get("taskmanagers", 0)),
        slots=int(found.get("slots-total", 0)),
        free=int(found.get("slots-available", 0)),
    )


def _spark(engine: EngineConfig) -> Cluster:
    found = _get(f"{page(engine)}/json/", engine)
    workers = [w for w in found.get("workers", ()) if w.get("state") == "ALIVE"]
    return Cluster(
        version=str(found.get("version", "")),
        workers=len(workers),
        slots=sum(int(worker["cores"]) for worker in workers),
        free=sum(int(worker["coresfree"]) for worker in workers),
        applications={
            f"{item.get('id')}": f"{item.get('state')}"
            for item in found.get("activeapps", ())
        },
    )


def _get(url: str, engine: EngineConfig) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as answer:
            content: Any = json.load(answer)
    except _HTTP_ERRORS as error:
        reason = getattr(error, "reason", None) or error
        raise UnreachableError(
            f"{engine.runner} does not answer at {url}: {reason}",
            "Start the cluster, or correct engine.master and engine.web_url.",
        ) from error
    if not isinstance(content, dict):
        raise UnreachableError(
            f"{url} is not a page of {engine.runner}", "Correct engine.web_url."
        )
    return content
