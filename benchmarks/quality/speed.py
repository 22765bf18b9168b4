"""Training speed, ours and the TFRS tutorial's: `python -m benchmarks.quality.speed`.

On ML-100K, one after the other in one run, examples a second. Of ours: of the median
epoch, with validation and checkpoint, and of the whole fit, with making the computation
graph. Of TFRS: of the fastest epoch.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.quality.environment import environment
from benchmarks.quality.grids import PEERS
from benchmarks.quality.prepared import Prepared, prepare
from benchmarks.quality.protocols import PROTOCOLS
from benchmarks.quality.table import RESULTS
from benchmarks.quality.worker import PEERS_PYTHON, run_worker
from pipeline.runs.workspace import Workspace

_TUTORIAL: Final = PEERS["tfrs-tutorial"].fixed
# As the tutorial trains, its metrics over the whole corpus in every step, and without.
_TFRS: Final[dict[str, dict[str, Any]]] = {
    "TFRS tutorial, batch 8192": {**_TUTORIAL, "epochs": 2, "metrics": True},
    "TFRS tutorial, batch 8192, no metrics": {**_TUTORIAL, "epochs": 2},
}
_OURS: Final = "ours, median epoch"
_PROTOCOL: Final = PROTOCOLS["ml-100k"]


def main() -> None:
    """Prints the table and writes it to `benchmarks/results/training-speed.*`."""
    parser = argparse.ArgumentParser(prog="benchmarks.quality.speed")
    parser.add_argument("--workspace", type=Path, default=Path("workspace"))
    parser.add_argument("--data-dir", type=Path, help="folder with ML-100K's files")
    options = parser.parse_args()
    measured = environment()
    workspace = Workspace.open(options.workspace, create=True)
    prepared = prepare(_PROTOCOL, workspace, options.data_dir)
    speeds = {**_ours(prepared), **_tfrs(prepared)}
    text = f"{_as_markdown(speeds)}\nMeasured: {measured}.\n"
    print(text, end="")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "training-speed.md").write_text(text)
    content = {name: round(speed) for name, speed in speeds.items()}
    (RESULTS / "training-speed.json").write_text(json.dumps(content, indent=1) + "\n")


def _ours(prepared: Prepared) -> dict[str, float]:
    """Targets a second of the default model, as trained by the pipeline."""
    work = {
        "protocol": _PROTOCOL.name,
        "folder": str(prepared.folder),
        "assignments": [],
        "jobs": [(0, str(prepared.folder / "speed.npy"))],
    }
    (result,) = run_worker(sys.executable, "benchmarks.quality.ours", work)
    return {
        _OURS: float(np.median(result["targets_per_second_by_epoch"])),
        "ours, whole fit": float(result["targets_per_second"]),
    }


def _tfrs(prepared: Prepared) -> dict[str, float]:
    """Examples a second by settings."""
    work = {"split": str(prepared.split), "settings": list(_TFRS.values())}
    module = "benchmarks.quality.peers.tfrs_speed"
    results = run_worker(PEERS_PYTHON, module, work)
    speeds = [float(result["examples_per_second"]) for result in results]
    return dict(zip(_TFRS, speeds, strict=True))


def _as_markdown(speeds: dict[str, float]) -> str:
    lines = ["| | events a second | ours, times as fast |", "|---|---|---|"]
    lines += [
        f"| {name} | {speed:,.0f} | {speeds[_OURS] / speed:.1f} |"
        for name, speed in speeds.items()
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
