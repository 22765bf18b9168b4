"""Fits one peer, once for each job, in the peers' environment.

    python -m benchmarks.quality.peers JOBS.json

Reads `{"peer": ..., "split": path, "jobs": [{"settings", "seed", "validating",
"scores": path}]}` and prints, for each job, `RESULT {"seconds": ...}`: the seconds of
fitting alone. The scores are written as float32 `[queries, num_movies]`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.quality.peers import fit_of
from benchmarks.quality.split import Split


def main() -> None:
    """See the module's docstring."""
    work = json.loads(Path(sys.argv[1]).read_text())
    split = Split.load(Path(work["split"]))
    fit = fit_of(work["peer"])
    for job in work["jobs"]:
        events, queries = split.fitted(job["validating"])
        started = time.monotonic()
        score = fit(events, job["settings"], job["seed"])
        seconds = time.monotonic() - started
        np.save(job["scores"], score(queries.user))
        # On a line of its own: some peers leave a progress bar behind.
        print("\nRESULT", json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
