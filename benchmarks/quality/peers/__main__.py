"""Fits one peer, once for each job, in an environment of the peers.

    python -m benchmarks.quality.peers JOBS.json

Reads `{"fit": ..., "split": path, "jobs": [{"settings", "seed", "validating",
"scores": [path, ...]}]}`. For each path, of which a job has one or as many as numbers
of epochs, it prints `RESULT {"seconds": ..., "numbers": ...}`: the seconds of fitting
alone, from the start of the job, and the size of the model. The seconds are those of
the clock, or of the processor if these are fewer: what other processes take from one
thread does not count. The scores are written as float32 `[queries, num_movies]`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.quality.peers import fit_of
from benchmarks.quality.peers.fitted import Fitted
from benchmarks.quality.split import Array, Split


def main() -> None:
    """See the module's docstring."""
    work = json.loads(Path(sys.argv[1]).read_text())
    split = Split.load(Path(work["split"]))
    fit = fit_of(work["fit"])
    for job in work["jobs"]:
        events, queries = split.fitted(job["validating"])
        started = _now()
        found = fit(events, job["settings"], job["seed"])
        fits = iter([found]) if isinstance(found, Fitted) else found
        seconds = 0.0
        for path in job["scores"]:
            fitted = next(fits)
            seconds += float(np.min(_now() - started))
            np.save(path, fitted.score(queries.user))
            result = {"seconds": seconds, "numbers": fitted.numbers}
            # On a line of its own: some peers leave a progress bar behind.
            print("\nRESULT", json.dumps(result), flush=True)
            started = _now()


def _now() -> Array:
    """Seconds of the clock and of the processor."""
    return np.array([time.monotonic(), time.process_time()])


if __name__ == "__main__":
    main()
