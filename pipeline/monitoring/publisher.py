"""Writes the metrics of a pipeline to a file for node exporter, and to a push gateway.

`publish` raises nothing and ends in a bounded time: no retraining fails because its
metrics cannot be written.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import queue
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from components.serving_directory import audit
from pipeline.monitoring import gateway
from pipeline.monitoring.config import MonitoringConfig
from pipeline.retraining.approvals import approved_versions, with_approvals
from pipeline.retraining.outcome import Outcome
from pipeline.retraining.outcome_log import read_outcomes
from pipeline.runs.workspace import RunFiles, Workspace
from pipeline.secret_text import redacted
from trainer.atomic_files import write_bytes
from trainer.errors import UserError
from trainer.text import printable

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric
    from prometheus_client.registry import CollectorRegistry

    from pipeline.monitoring.live_model import LiveVersion

_FILE_SECONDS: Final = 10.0  # a network file system may hang
_FILE_MODE: Final = 0o644  # node exporter runs as another user
_LONGEST_FAULT: Final = 300  # characters


def publish(outcome: Outcome, config: MonitoringConfig) -> list[str]:
    """Publishes the metrics of a pipeline, up to and with one retraining.

    Args:
      outcome: The newest retraining; whether it was recorded yet does not matter.
      config: Where to; nowhere by default.

    Returns:
      What went wrong, one line each.
    """
    target = config.push_gateway
    if config.textfile_dir is None and target.url is None:
        return []
    faults: list[str] = []
    registry = _within(
        _FILE_SECONDS,
        "reading the workspace",
        functools.partial(_registry, outcome, config, faults.append),
        faults.append,
    )
    if registry is None:
        return faults
    if config.textfile_dir is not None:
        path = textfile_path(outcome.pipeline, config.textfile_dir)
        write = functools.partial(_write, registry, path)
        _within(_FILE_SECONDS, str(path), write, faults.append)
    if target.url is not None:
        push = functools.partial(gateway.push, registry, outcome.pipeline, target)
        _within(target.timeout_seconds, target.url, push, faults.append)
    return faults


def publish_again(root: Path) -> list[str]:
    """Publishes the metrics of the last retraining again: another model is live now.

    Where to, the configuration of the last retraining with a run says: one that a
    person has run since may have no such section. Raises nothing.

    Args:
      root: Folder of the workspace.

    Returns:
      What went wrong, one line each.
    """
    try:
        workspace = Workspace.open(root)
        outcomes = read_outcomes(workspace.root)
        ids = [outcome.run_id for outcome in reversed(outcomes) if outcome.run_id]
        configs = (RunFiles(workspace.runs_dir / run_id).config for run_id in ids)
        file = next((path for path in configs if path.is_file()), None)
        if file is None:
            return []
        from pipeline.config.loading import load

        config = load([file]).monitoring
    except (UserError, OSError) as error:
        return [f"monitoring: {error}"]
    outcome = dataclasses.replace(outcomes[-1], workspace=str(workspace.root))
    return publish(outcome, config)


def textfile_path(pipeline: str, folder: str) -> Path:
    """Returns where the metrics of a pipeline are written for node exporter."""
    return Path(folder) / f"two_tower_{pipeline}.prom"


def exposition(outcome: Outcome, config: MonitoringConfig) -> str:
    """Returns the metrics in Prometheus' text format.

    Raises:
      UserError: The workspace cannot be read.
      OSError: The same.
    """
    from prometheus_client import generate_latest

    def fail(fault: str) -> None:
        raise UserError(fault, "Repair the workspace.")

    return generate_latest(_registry(outcome, config, fail)).decode()


class _Families:
    """What `prometheus_client` asks for metrics."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _registry(
    outcome: Outcome, config: MonitoringConfig, report: Callable[[str], None]
) -> CollectorRegistry:
    # Imported here: only those who monitor need it (0.1 s).
    from prometheus_client.registry import CollectorRegistry

    from pipeline.monitoring.metrics import collect

    history = _approved(_history(outcome, report), report)
    registry = CollectorRegistry()
    registry.register(_Families(collect(history, _live(outcome, report), config)))
    return registry


def _history(outcome: Outcome, report: Callable[[str], None]) -> list[Outcome]:
    """Returns all outcomes of the pipeline; that one alone if they cannot be read."""
    try:
        recorded = read_outcomes(Path(outcome.workspace))
    except OSError as error:
        report(f"monitoring: earlier retrainings cannot be read: {error}")
        recorded = []
    same = (outcome.started, outcome.status)
    return [
        *(
            other
            for other in recorded
            if other.pipeline == outcome.pipeline
            and (other.started, other.status) != same
        ),
        outcome,
    ]


def _approved(history: list[Outcome], report: Callable[[str], None]) -> list[Outcome]:
    try:
        lines = audit.read(_serving_dir(history[-1]))
    except UserError as error:
        report(f"monitoring: {error}")
        return history
    return with_approvals(history, approved_versions(lines))


def _serving_dir(outcome: Outcome) -> str:
    return os.path.join(outcome.workspace, "serving")


def _live(outcome: Outcome, report: Callable[[str], None]) -> LiveVersion | None:
    """Returns what is live now; what was, if that cannot be read."""
    from pipeline.monitoring.live_model import LiveVersion, read_live

    try:
        return read_live(_serving_dir(outcome))
    except UserError as error:
        report(f"monitoring: {error}")
    return LiveVersion(outcome.live_version, None) if outcome.live_version else None


def _write(registry: CollectorRegistry, path: Path) -> None:
    from prometheus_client import generate_latest

    write_bytes(path, generate_latest(registry), mode=_FILE_MODE)


def _within(
    seconds: float,
    what: str,
    function: Callable[[], Any],
    report: Callable[[str], None],
) -> Any:
    """Calls a function in a thread and waits for it no longer than given.

    A system call that hangs cannot be ended from outside; the thread ends with the
    process.

    Returns:
      What it returned; None if it failed or did not end, which is reported.
    """
    found: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue()

    def run() -> None:
        try:
            found.put((function(), None))
        except BaseException as error:
            found.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        result, error = found.get(timeout=seconds)
    except queue.Empty:
        report(f"monitoring: {what}: not done after {seconds:g} seconds")
        return None
    if error is not None:
        text = str(error) or type(error).__name__
        report(printable(redacted(f"monitoring: {what}: {text}"))[:_LONGEST_FAULT])
    return result
