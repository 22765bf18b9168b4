"""Where something was measured, for whoever compares it with what they measure."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path


def environment() -> str:
    """Date, processor, versions and what else the machine was doing."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return (
        f"{time.strftime('%Y-%m-%d', time.gmtime())}, {os.cpu_count()} cores of "
        f"{names[0] if names else platform.processor() or platform.machine()}, "
        f"Python {platform.python_version()}, TFX {version('tfx')}, "
        f"TensorFlow {version('tensorflow')}, load {os.getloadavg()[0]:.1f} before"
    )
