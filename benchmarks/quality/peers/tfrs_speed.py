"""Times the TFRS tutorial's training: `python -m ....tfrs_speed WORK.json`.

Reads `{"split": path, "settings": [...]}` and prints, for each settings, `RESULT` and
the examples of its fastest epoch a second. The first epoch, which also compiles, is the
fastest only where it is the only one.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.quality.peers.tfrs_model import train
from benchmarks.quality.split import Split


def main() -> None:
    """See the module's docstring."""
    work = json.loads(Path(sys.argv[1]).read_text())
    events = Split.load(Path(work["split"])).events
    for settings in work["settings"]:
        _, seconds = train(events, settings, seed=0)
        result = {"examples_per_second": len(events.user) / min(seconds)}
        print("\nRESULT", json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
