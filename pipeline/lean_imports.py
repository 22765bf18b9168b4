"""Imports TensorFlow and TFX without the optional packages that they load if they can.

Each of these is an extra of the package that tries to import it, which does without it
where it is not installed. Together they take a tenth of the time of importing TFX.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Final

# A wrapper of Keras, a lock server and databases. Not IPython: without it TFMA leaves
# out not only its widgets but the evaluation too.
NOT_NEEDED_BY_TFX: Final = (
    "sklearn",
    "redis",
    "pymongo",
    "google.cloud.bigquery",
    "google.cloud.pubsub",
)
# A SavedModel made of plain TensorFlow runs without Keras.
NOT_NEEDED_TO_SERVE: Final = ("keras", "tf_keras", "pandas", "IPython", "sklearn")


@contextlib.contextmanager
def without(names: tuple[str, ...]) -> Iterator[None]:
    """Makes packages look absent while other modules are being imported.

    Args:
      names: Modules; one that was imported before is left as it is.
    """
    absent = [name for name in names if name not in sys.modules]
    # Python's own way to say that a module is not to be had.
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in absent:
            if sys.modules.get(name, "") is None:
                del sys.modules[name]
