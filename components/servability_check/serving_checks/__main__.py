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


def main(model_path: str, requests_path: str, result_path: str) -> None:
    """Checks the model with requests from a JSON file; writes the result as JSON."""
    # An entry of None makes `import` fail.
    sys.modules.update(dict.fromkeys(BLOCKED_MODULES))  # type: ignore[arg-type]
    from .checks import check_model

    requests = json.loads(Path(requests_path).read_text("utf-8"))
    result = check_model(model_path, requests)
    Path(result_path).write_text(json.dumps(result), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
