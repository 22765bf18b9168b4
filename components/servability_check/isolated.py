"""Runs the serving checks in a process that has TensorFlow but not this project."""

from __future__ import annotations

import json
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


def check_isolated(model_path: str, requests: dict[str, Any]) -> dict[str, Any]:
    """Checks a model in a fresh process.

    Args:
      model_path: Folder of the SavedModel.
      requests: See `serving_checks.checks.Requests`.

    Returns:
      The result of `serving_checks.checks.check_model`. That the process crashed or
      hung is a reason why the model is not servable.
    """
    with tempfile.TemporaryDirectory(prefix="servability-") as folder:
        requests_path, result_path = Path(folder, "in.json"), Path(folder, "out.json")
        requests_path.write_text(json.dumps(requests), "utf-8")
        folder_and_name = (str(Path(__file__).parent), _PACKAGE.rpartition(".")[2])
        command = [sys.executable, "-I", "-c", _START, *folder_and_name]
        # The process starts in another folder.
        path = model_path if "://" in model_path else os.path.abspath(model_path)
        command += [path, str(requests_path), str(result_path)]
        try:
            process = subprocess.run(
                command,
                cwd=folder,
                env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"},
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return {"reasons": [f"no answer within {_TIMEOUT_SECONDS} seconds"]}
        if result_path.exists():
            result: dict[str, Any] = json.loads(result_path.read_text("utf-8"))
            return result
        last_line = (process.stderr.strip().splitlines() or ["no error message"])[-1]
        code = process.returncode
        return {"reasons": [f"the serving process ended with {code}: {last_line}"]}
