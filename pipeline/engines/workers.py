"""Asks the workers of an engine what they are, by a tiny Beam job of the engine.

Importing it imports Beam. What workers answer comes back as names of metrics: neither
a shared folder nor our package is needed for that.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import threading
import uuid
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any, Final

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability import job_server

from pipeline.engines import worker_report
from pipeline.engines.beam_options import beam_args
from pipeline.engines.config import EngineConfig
from trainer.errors import UserError

_NAMESPACE: Final = "two-tower-workers"
_QUESTIONS: Final = 16  # so that several workers get one
_LITTLE_MB: Final = 200
_DOCTOR: Final = "`two-tower doctor --engine` checks it again."
# An expression, since `eval` is a function that every worker has.
_CALL: Final = (
    "[scope := {{'__name__': 'worker_report'}}, exec({source!r}, scope), "
    "__import__('apache_beam').metrics.Metrics.counter({namespace!r}, "
    "__import__('json').dumps(scope['worker_report']({folders!r}, {token!r}))).inc()]"
    "[0] and None"
)
Report = dict[str, Any]


def ask(engine: EngineConfig, folders: Sequence[str], seconds: float) -> list[Report]:
    """Returns a report of each worker that answered, see `worker_report`.

    Args:
      engine: The engine.
      folders: Folders that workers must share with this machine.
      seconds: How long to wait for the job.

    Raises:
      UserError: A folder cannot be written here, or the job did not end in time.
      Exception: The job failed; `pipeline.engines.failures` explains why.
    """
    token = f".two-tower-{uuid.uuid4().hex}"
    with _written(folders, token):
        reports = _within(seconds, lambda: _run(engine, folders, token))
        for report in reports:
            for folder, found in report["folders"].items():
                found["seen"] = _is_there(folder, found["written"])
    return reports


def faults(reports: Sequence[Report]) -> Iterator[UserError]:
    """Yields what makes workers unfit, with the remedy; each fault once."""
    own = worker_report.worker_report([], "")
    if not reports:
        yield UserError("No worker answered", _DOCTOR)
    seen = set()
    for report in reports:
        for fault in (*_version_faults(report, own), *_folder_faults(report)):
            if fault.message not in seen:
                seen.add(fault.message)
                yield fault


def _version_faults(report: Report, own: Report) -> Iterator[UserError]:
    host = report["host"]
    if report["python"].split(".")[:2] != own["python"].split(".")[:2]:
        yield UserError(
            f"The workers on {host} have Python {report['python']}, and this process "
            f"{own['python']}",
            "Start both with the same Python.",
        )
    if report["beam"] != own["beam"]:
        yield UserError(
            f"The workers on {host} have Apache Beam {report['beam']}, and this "
            f"process {own['beam']}",
            "Install the same version.",
        )
    if report["sources"] is None:
        yield UserError(
            f"The workers on {host} do not have our packages components, pipeline and "
            "trainer",
            "Install two-tower there, and start the pool with `two-tower worker-pool`.",
        )
    elif report["sources"] != own["sources"]:
        yield UserError(
            f"The workers on {host} have other code of components, pipeline or trainer "
            "than this process",
            "Install the same version there, and restart the pool.",
        )


def _folder_faults(report: Report) -> Iterator[UserError]:
    host = report["host"]
    if report["free_mb"] < _LITTLE_MB:
        yield UserError(
            f"The temporary folder of the workers on {host} has {report['free_mb']} MB "
            "left",
            "Free some space there.",
        )
    for folder, found in report["folders"].items():
        remedy = (
            "Mount it at the same path on this machine and on all workers; both must "
            "have the permission to write there."
        )
        if not found["read"]:
            why = found["error"] or "it has another content there"
            yield UserError(
                f"The workers on {host} do not see {folder} as this machine does: "
                f"{why}",
                remedy,
            )
        elif not found["seen"]:
            why = found["error"] or "their file is not here"
            yield UserError(
                f"What the workers on {host} write to {folder} does not arrive: {why}",
                remedy,
            )


def _run(engine: EngineConfig, folders: Sequence[str], token: str) -> list[Report]:
    call = _CALL.format(
        source=inspect.getsource(worker_report),
        namespace=_NAMESPACE,
        folders=list(folders),
        token=token,
    )
    options = PipelineOptions(beam_args(engine))
    pipeline = beam.Pipeline(options=options)
    _ = pipeline | beam.Create([call] * _QUESTIONS) | beam.Reshuffle() | beam.Map(eval)
    result = pipeline.run()
    result.wait_until_finish()
    counters = result.metrics().query()["counters"]
    names = {item.key.metric.name for item in counters}
    reports = [json.loads(name) for name in names if name.startswith("{")]
    return sorted(reports, key=lambda report: (report["host"], report["process"]))


def _within(seconds: float, function: Any) -> list[Report]:
    """Runs a function in a thread that is left behind if it takes too long."""
    results: list[list[Report]] = []
    errors: list[BaseException] = []

    def target() -> None:
        try:
            with _no_signal_handlers():
                results.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=target, name="ask-workers", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise UserError(
            f"A test job, which takes a second, did not end within {seconds:.0f} s",
            "Look for a free slot of the engine and at the log of its workers, or "
            "raise engine.timeout_seconds.",
        )
    return results[0]


@contextlib.contextmanager
def _no_signal_handlers() -> Iterator[None]:
    """Lets Beam start a job server here; only the main thread may set handlers.

    Beam sets one for Ctrl-C when it starts Java; the server also ends at the exit.
    """
    module: Any = job_server
    real = module.signal
    module.signal = SimpleNamespace(SIGINT=real.SIGINT, signal=lambda *_: None)
    try:
        yield
    finally:
        module.signal = real


@contextlib.contextmanager
def _written(folders: Sequence[str], token: str) -> Iterator[None]:
    """Writes a file to each folder, and removes it and those of workers at the exit."""
    try:
        for folder in folders:
            try:
                if "://" not in folder:
                    os.makedirs(folder, exist_ok=True)
                with FileSystems.create(FileSystems.join(folder, token)) as file:
                    file.write(token.encode())
            except Exception as error:
                raise UserError(
                    f"{folder} cannot be written: {error}", "Check engine.shared_dir."
                ) from error
        yield
    finally:
        for folder in folders:
            with contextlib.suppress(Exception):
                found = FileSystems.match([FileSystems.join(folder, f"{token}*")])
                FileSystems.delete([item.path for item in found[0].metadata_list])


def _is_there(folder: str, name: str) -> bool:
    return bool(name) and FileSystems.exists(FileSystems.join(folder, name))
