"""The process that checks a model: it can be started before there is a model.

It has TensorFlow, whose import takes seconds, but not this project. Started ahead, it
waits with TensorFlow imported until it is given a model, or until this process ends.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

_TIMEOUT_SECONDS: Final = 600
_PACKAGE: Final = "components.servability_check.serving_checks"
# `-I` keeps PYTHONPATH, the user's packages and the current folder out; the first
# arguments are the package's folder and its name.
_START: Final = (
    "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); "
    "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)
# A server has no GPU, and what runs on one may not run on the CPU.
_ENVIRONMENT: Final = {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"}

_LOG: Final = logging.getLogger(__name__)
_ahead: list[subprocess.Popen[str]] = []


def start_ahead() -> None:
    """Starts the process of the next check now; only one waits at a time."""
    if not _ahead:
        try:
            _ahead.append(_started())
        except OSError as error:  # the check will try again, and say why it cannot
            _LOG.warning("The process of ServabilityCheck does not start: %s", error)


def check_in_process(model_path: str, requests: dict[str, Any]) -> dict[str, Any]:
    """Checks a model in the process that was started ahead, or in a new one.

    Args:
      model_path: Folder of the SavedModel.
      requests: See `serving_checks.requests.Requests`.

    Returns:
      The result of `serving_checks.checks.check_model`. That the process crashed or
      hung is a reason why the model is not servable.
    """
    process = _ahead.pop() if _ahead else None
    if process is None or process.poll() is not None:  # it was killed as it waited
        process = _started()
    with tempfile.TemporaryDirectory(prefix="servability-") as folder, process:
        result_path = Path(folder, "result.json")
        # The process has another current folder.
        path = model_path if "://" in model_path else os.path.abspath(model_path)
        work = {"model": path, "requests": requests, "result": str(result_path)}
        try:
            _, errors = process.communicate(f"{json.dumps(work)}\n", _TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            return {"reasons": [f"no answer within {_TIMEOUT_SECONDS} seconds"]}
        finally:
            process.kill()  # if it still runs, also because this step is interrupted
        if result_path.exists():
            result: dict[str, Any] = json.loads(result_path.read_text("utf-8"))
            return result
    last_line = (errors.strip().splitlines() or ["no error message"])[-1]
    code = process.returncode
    return {"reasons": [f"the serving process ended with {code}: {last_line}"]}


def _started() -> subprocess.Popen[str]:
    package = (str(Path(__file__).parent), _PACKAGE.rpartition(".")[2])
    return subprocess.Popen(
        [sys.executable, "-I", "-c", _START, *package],
        cwd=tempfile.gettempdir(),
        env=os.environ | _ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    )
