"""Runs a module in a process of its own and takes what it reports."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
PEERS_PYTHON: Final = ROOT / "benchmarks/quality/.venv/bin/python"
SEQUENTIAL_PYTHON: Final = ROOT / "benchmarks/quality/sequential/.venv/bin/python"
_MARK: Final = "RESULT "
# Legacy Keras is for TFRS alone: the pipeline's own model is on Keras 3.
_PEERS_VARIABLES: Final = {"TF_USE_LEGACY_KERAS": "1"}


class WorkerError(Exception):
    """The process failed: its last line says why."""


def run_worker(python: Path | str, module: str, work: dict[str, Any]) -> list[Any]:
    """All results of `stream_worker`, in order."""
    return list(stream_worker(python, module, work))


def stream_worker(
    python: Path | str, module: str, work: dict[str, Any]
) -> Generator[Any, None, None]:
    """Runs `python -m module WORK.json` from the root of the project.

    Args:
      python: Interpreter.
      module: Module that prints `RESULT` and JSON, once for each result.
      work: What it is to do.

    Yields:
      The results, as they come. The process is ended when the generator is closed.

    Raises:
      WorkerError: If it fails.
    """
    variables = _PEERS_VARIABLES if Path(python) == PEERS_PYTHON else {}
    with (
        tempfile.NamedTemporaryFile("w", suffix=".json") as file,
        tempfile.TemporaryFile("w+") as errors,
    ):
        json.dump(work, file)
        file.flush()
        try:
            process = subprocess.Popen(
                [str(python), "-m", module, file.name],
                cwd=ROOT,
                env={"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        except FileNotFoundError:
            raise WorkerError(f"not installed: {python}") from None
        with process:
            try:
                for line in process.stdout or ():
                    if line.startswith(_MARK):
                        yield json.loads(line.removeprefix(_MARK))
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            errors.seek(0)
            lines = errors.read().strip().splitlines()
            raise WorkerError(lines[-1] if lines else f"exit code {process.returncode}")
