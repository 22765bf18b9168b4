"""Custom TFX components, one package each.

On Kubeflow an artifact's type is known by its name only, and TFX imports a custom type
from `<package>.<Class>`, one dot and no more. So such types are found here too, without
importing TFX before one is asked for.
"""

from __future__ import annotations

import importlib
from typing import Any, Final

_ARTIFACT_TYPES: Final = {
    "DataReport": "components.data_gate.component",
    "RunReport": "components.report_gen.component",
}


def __getattr__(name: str) -> Any:
    """Imports a custom artifact type."""
    if name not in _ARTIFACT_TYPES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_ARTIFACT_TYPES[name]), name)
