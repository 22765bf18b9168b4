"""Where something was measured, for whoever compares it with what they measure."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from benchmarks.quality.worker import run_worker

_PACKAGES: Final = (
    *("tfx", "tensorflow", "keras", "tensorflow-recommenders"),
    *("implicit", "lightfm-next", "irspack"),
    *("torch", "rectools", "recbole"),
)


def environment(python: Path | str = sys.executable) -> str:
    """Date, processor, what else the machine was doing, and the interpreter's versions.

    Raises:
      WorkerError: If there is no such interpreter.
    """
    (text,) = run_worker(python, "benchmarks.quality.environment", {})
    return str(text)


def _describe() -> str:
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    parts = [
        time.strftime("%Y-%m-%d", time.gmtime()),
        f"{os.cpu_count()} cores of {names[0] if names else platform.machine()}",
        f"load {os.getloadavg()[0]:.1f} before",
        f"Python {platform.python_version()}",
    ]
    for package in _PACKAGES:
        try:
            parts.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(parts)


if __name__ == "__main__":
    print("RESULT", json.dumps(_describe()))
