"""Checks an engine, for `two-tower doctor --engine`: one line each, in order.

A check that cannot succeed after an earlier one failed is left out.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pipeline.engines import cluster, failures
from pipeline.engines.config import EngineConfig
from pipeline.engines.known_options import beam_version, version_fault
from pipeline.local.doctor import Check
from trainer.errors import UserError

_START_SECONDS: Final = 60  # of the process that asks, which imports Beam


def examine(engine: EngineConfig, workspace: Path) -> Iterator[Check]:
    """Yields the results of the checks.

    Args:
      engine: The engine.
      workspace: The workspace, which the workers must share if it exists.
    """
    yield Check("engine", "ok", f"{engine.runner}, Beam {beam_version()}")
    if not engine.is_distributed or engine.runner == "dataflow":
        return
    if engine.runner in ("flink", "spark"):
        checks = [*_cluster(engine), *_job_server(engine)]
    else:
        checks = [_endpoint(engine)]
    if engine.environment == "external":
        checks.append(_pool(engine))
    yield from checks
    if not any(check.state == "fail" for check in checks):
        yield from _workers(engine, workspace)


def _cluster(engine: EngineConfig) -> Iterator[Check]:
    try:
        found = cluster.ask(engine)
    except UserError as error:
        yield Check(engine.runner, "fail", error.message, error.remedy)
        return
    name = f"{engine.runner} {found.version}".strip()
    yield Check(engine.runner, "ok", f"{name} at {cluster.page(engine)}")
    if found.version:
        yield _version(engine, found.version)
    unit = "slots" if engine.runner == "flink" else "cores"
    value = f"{found.free} of {found.slots} {unit} free on {found.workers} workers"
    needed = max(engine.parallelism, 1)
    if found.slots < needed:
        remedy = f"Add workers, or lower engine.parallelism from {needed}."
        yield Check(unit, "fail", value, remedy)
    elif found.free < needed:
        remedy = f"A run needs {needed}, and waits {engine.timeout_seconds} s for them."
        yield Check(unit, "warn", value, remedy)
    else:
        yield Check(unit, "ok", value)


def _version(engine: EngineConfig, version: str) -> Check:
    """Whether Beam's job server is made for the version of the cluster."""
    fault = version_fault(engine, version)
    if fault is None:
        return Check("version", "ok", f"{version}, as Beam's job server")
    return Check("version", "fail", fault.message, fault.remedy)


def _job_server(engine: EngineConfig) -> Iterator[Check]:
    """Java, and the jar that is started with it."""
    launcher = str(engine.options.get("job_server_java_launcher", "java"))
    java = shutil.which(launcher)
    if java is None:
        remedy = (
            "Install Java 11 or 17, or set engine.options.job_server_java_launcher."
        )
        yield Check("java", "fail", f"no {launcher}", remedy)
    else:
        yield Check("java", "ok", java)
    jar = engine.job_server_jar
    if jar is None or "://" in jar:
        value = jar or "from Maven Central, at the first run"
        yield Check("job server", "ok", value)
    elif Path(jar).is_file():
        yield Check("job server", "ok", jar)
    else:
        remedy = "Set engine.job_server_jar to the path of the jar."
        yield Check("job server", "fail", f"{jar} does not exist", remedy)


def _endpoint(engine: EngineConfig) -> Check:
    if engine.master == "embed":
        return Check("job server", "ok", "in the process of the step")
    try:
        cluster.connect(f"{engine.master}", "The job server")
    except UserError as error:
        return Check("job server", "fail", error.message, error.remedy)
    return Check("job server", "ok", f"{engine.master}")


def _pool(engine: EngineConfig) -> Check:
    """Whether the port is open; only the engine's workers need to reach it."""
    address = f"{engine.environment_config}"
    try:
        cluster.connect(address, "The worker pool")
    except UserError as error:
        if engine.master == "embed":
            return Check("worker pool", "fail", error.message, error.remedy)
        remedy = "This is fine if the engine's workers reach it: see `workers`."
        return Check("worker pool", "warn", error.message, remedy)
    return Check("worker pool", "ok", address)


def _workers(engine: EngineConfig, workspace: Path) -> Iterator[Check]:
    """What real workers answer in a job of the engine."""
    folders = [str(workspace.resolve())] if workspace.is_dir() else []
    folders += [engine.shared_dir] if engine.shared_dir else []
    answer = _ask(engine, folders)
    if "error" in answer:
        yield Check("workers", "fail", answer["error"], answer["remedy"])
        return
    for report in answer["reports"]:
        value = (
            f"{report['host']}, process {report['process']}: Python "
            f"{report['python']}, Beam {report['beam']}"
        )
        yield Check("worker", "ok", value)
    for fault in answer["faults"]:
        yield Check("workers", "fail", *fault)
    if not answer["faults"]:
        for folder in folders:
            yield Check("shared folder", "ok", f"{folder}, read and written by both")


def _ask(engine: EngineConfig, folders: list[str]) -> dict[str, Any]:
    """Asks in a process of its own: Beam's job may hang, and its threads stay."""
    question = json.dumps({"engine": dataclasses.asdict(engine), "folders": folders})
    command = [sys.executable, "-m", "pipeline.engines.doctor", question]
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=engine.timeout_seconds + _START_SECONDS,
            check=False,
        )
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"error": "No worker answered", "remedy": "Look at the engine's log."}
    except (IndexError, ValueError):
        return {
            "error": f"The process that asks ended with exit code {done.returncode}",
            "remedy": "Run it again.",
        }
    return answer


def _answer(question: str) -> dict[str, Any]:
    from pydantic import TypeAdapter

    from pipeline.engines import workers
    from pipeline.local.failures import explain

    given = json.loads(question)
    engine = TypeAdapter(EngineConfig).validate_json(json.dumps(given["engine"]))
    try:
        reports = workers.ask(engine, given["folders"], engine.timeout_seconds)
    except Exception as error:
        fault = failures.explain(error, engine) or explain(error)
        remedy = fault.remedy or "Look at the log of the engine's workers."
        return {"error": fault.message, "remedy": remedy}
    faults = [(fault.message, fault.remedy) for fault in workers.faults(reports)]
    return {"reports": reports, "faults": faults}


if __name__ == "__main__":
    print(f"\n{json.dumps(_answer(sys.argv[1]))}", flush=True)
    os._exit(0)
