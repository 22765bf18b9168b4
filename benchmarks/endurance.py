"""Many retrainings in a row, each on a new span: what grows?

    PYTHONPATH=. nice python benchmarks/endurance.py --work /tmp/endurance --runs 50

Small synthetic data in a rolling window, so that each retraining has about as much to
do as the one before. A line is appended to `runs.jsonl` after each, and a command that
was interrupted goes on with the next. Slopes are those of ordinary least squares over
the runs from the tenth, with their 95% intervals.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.faults.held_command import HeldCommand
from benchmarks.faults.state import count_files

RESULTS: Final = Path(__file__).parent / "results"
_SETTINGS: Final = ("-c", str(Path(__file__).parent / "faults" / "small.yaml"))
_SIZE: Final = ("--ratings", "20k", "--users", "300", "--movies", "200")
_WINDOW: Final = 10
_PARTS: Final = ("artifacts", "serving", "runs")
# Measured -> how to write it: name, unit, divisor.
_COLUMNS: Final = {
    "artifacts_bytes": ("artifacts", "kB", 1e3),
    "artifacts_files": ("artifacts", "files", 1),
    "serving_bytes": ("serving", "kB", 1e3),
    "serving_files": ("serving", "files", 1),
    "runs_bytes": ("runs", "kB", 1e3),
    "runs_files": ("runs", "files", 1),
    "metadata_bytes": ("metadata.sqlite", "kB", 1e3),
    "other_bytes": ("all else in the workspace", "kB", 1e3),
    "temporary_files": ("left in TMPDIR", "files", 1),
    "peak_mib": ("peak memory of a run", "MiB", 1),
    "command_mib": ("peak memory of a process", "MiB", 1),
    "seconds": ("time", "s", 1),
    "cpu_seconds": ("CPU time", "s", 1),
}
_FIRST: Final = 10
# Two-sided 95% quantile of Student's t, by degrees of freedom; normal above the last.
_STUDENT: Final = {5: 2.571, 10: 2.228, 20: 2.086, 30: 2.042, 40: 2.021}


def main() -> None:
    """Does the retrainings that are not done, and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--keep", type=int, default=3, help="runs and versions to keep")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    work = options.work.absolute()
    (work / "tmp").mkdir(parents=True, exist_ok=True)
    data = work / "data"
    if not data.exists():
        _command(work, "data", "synthesize", str(work / "all"), *_SIZE)
        spans = str(options.runs + _WINDOW)
        arguments = ("data", "split-spans", str(data), "--spans", spans)
        _command(work, *arguments, "--data-dir", str(work / "all"))
    path = work / "runs.jsonl"
    rows = _read(path)
    for number in range(len(rows) + 1, options.runs + 1):
        row = {"run": number, **_retrain(work, number, options.keep)}
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        rows.append(row)
        shown = ", ".join(f"{k} {row[k]:,.0f}" for k in _COLUMNS)
        print(f"{number}/{options.runs} {row['status']}: {shown}", flush=True)
        write(rows, options.results / "endurance")


def _retrain(work: Path, number: int, keep: int) -> dict[str, Any]:
    workspace = work / "workspace"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    _command(
        *(work, "retrain", "--span", str(number + _WINDOW - 1)),
        *("--workspace", str(workspace), "--data-dir", str(work / "data")),
        *_SETTINGS,
        *("--set", f"data.span_window={_WINDOW}"),
        *("--set", f"retrain.keep_runs={keep}"),
        *("--set", f"retrain.keep_versions={keep}"),
    )
    seconds = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    lines = (workspace / "retrainings.jsonl").read_text().splitlines()
    outcome = json.loads(lines[-1])
    row: dict[str, Any] = {
        "status": outcome["status"],
        "seconds": round(seconds, 2),
        "cpu_seconds": round(
            after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2
        ),
        "peak_mib": outcome["peak_rss_mb"],
        "command_mib": after.ru_maxrss / 1024,
        "temporary_files": count_files(work / "tmp"),
        "metadata_bytes": (workspace / "metadata.sqlite").stat().st_size,
        "steps": {step["id"]: step["seconds"] for step in outcome["steps"]},
    }
    for part in _PARTS:
        row[f"{part}_bytes"] = _bytes(workspace / part)
        row[f"{part}_files"] = count_files(workspace / part)
    known = sum(row[f"{part}_bytes"] for part in (*_PARTS, "metadata"))
    row["other_bytes"] = _bytes(workspace) - known
    return row


def _command(work: Path, *arguments: str) -> None:
    command = HeldCommand(arguments, work / "command", temp=work / "tmp")
    if code := command.wait():
        sys.exit(f"exit code {code}: {' '.join(arguments)}\n{command.text()}")
    if "Traceback" in command.text():
        sys.exit(command.text())


def _bytes(folder: Path) -> int:
    paths = (Path(root, n) for root, _, names in os.walk(folder) for n in names)
    return sum(path.lstat().st_size for path in paths)


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def slope(runs: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """Returns the slope of a least-squares line, and half its 95% interval."""
    x = np.asarray(runs, float) - np.mean(runs)
    y = np.asarray(values, float)
    slope_ = float(x @ y / (x @ x))
    residuals = y - y.mean() - slope_ * x
    freedom = len(x) - 2
    error = math.sqrt(float(residuals @ residuals) / freedom / float(x @ x))
    known = [value for least, value in _STUDENT.items() if freedom >= least]
    student = known[-1] if known else 4.3
    return slope_, student * error


def write(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Writes all values as JSON, and a table of some runs and slopes as Markdown."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".json").write_text(
        "[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n"
    )
    later = [row for row in rows if row["run"] >= _FIRST]
    marks = [1, _FIRST, *range(20, len(rows) + 1, 10)]
    shown = [row for row in rows if row["run"] in {*marks, len(rows)}]
    heads = ["", "unit", *(f"run {row['run']}" for row in shown)]
    heads.append(f"slope a run, from run {_FIRST} (95%)")
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for key, (name, unit, divisor) in _COLUMNS.items():
        cells = [name, unit, *(f"{row[key] / divisor:,.0f}" for row in shown)]
        if len(later) > 3:  # noqa: PLR2004 - a slope needs more points
            found, half = slope(
                [row["run"] for row in later], [row[key] / divisor for row in later]
            )
            cells.append(f"{found:+.3f} ± {half:.3f}")
        else:
            cells.append("")
        lines.append(f"| {' | '.join(cells)} |")
    statuses = {row["status"] for row in rows}
    counts = (f"{sum(r['status'] == s for r in rows)} {s}" for s in sorted(statuses))
    lines += ["", f"{len(rows)} retrainings: {', '.join(counts)}."]
    path.with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
