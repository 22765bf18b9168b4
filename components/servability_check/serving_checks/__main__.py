"""The process: blocks imports that a server lacks, then checks the model."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

# A model that needs one of these would load here, but not in TensorFlow Serving.
BLOCKED_MODULES: Final = (
    "keras",
    "tf_keras",
    "tensorflow_transform",
    "tfx",
    "tfx_bsl",
    "trainer",
    "components",
    "pipeline",
    # TensorFlow does without these, which only make its import slower.
    "h5py",
    "pandas",
    "scipy",
)


def main() -> None:
    """Checks the model that standard input names; writes the result as JSON.

    Standard input is one line, a JSON object with `model`, `requests` and `result`:
    folder of the SavedModel, see `Requests`, and the file to write. Nothing is done if
    it ends without: who started the process had no work for it.
    """
    # An entry of None makes `import` fail.
    sys.modules.update(dict.fromkeys(BLOCKED_MODULES))  # type: ignore[arg-type]
    from .checks import check_model  # it imports TensorFlow before there is work

    if text := sys.stdin.readline():
        work = json.loads(text)
        result = check_model(work["model"], work["requests"])
        Path(work["result"]).write_text(json.dumps(result), "utf-8")


if __name__ == "__main__":
    main()
