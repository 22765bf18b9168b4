"""Custom TFX components, one package each.

Each of them is written in one of two ways, whichever fits:

* What has its own work to do is a function under TFX's `@component`: LiveModel,
  SchemaImporter, DataGate and ServabilityCheck. It works on the local runner and on
  Kubeflow. ReportGen would be one too, but its page names the run, and only an executor
  class is told which run that is.
* What changes a component of TFX is a subclass of it, or of its spec, with another
  executor: MovieLensExampleGen, RetrievalExampleValidator, SearchTuner,
  RetrievalEvaluator and RetrievalPusher.

No component takes a fingerprint of its code: `pipeline.fingerprints` adds one to every
node of a pipeline.

The classes are imported when they are first used, since TFX takes seconds to import.
TFX on Kubeflow relies on them too: it looks for the class of a custom artifact type in
`<package>.<Class>`, one dot and no more.

Example:
  ```python
  from components import DataGate, MovieLensExampleGen
  ```
"""

from __future__ import annotations

import importlib
from typing import Any, Final

# Name -> module in this package.
_EXPORTS: Final = {
    "DataGate": "data_gate.component",
    "DataReport": "data_gate.data_report",
    "LiveModel": "live_model.component",
    "MovieLensExampleGen": "movielens_example_gen.component",
    "ReportGen": "report_gen.component",
    "RetrievalEvaluator": "evaluator.component",
    "RetrievalExampleValidator": "example_validator.component",
    "RetrievalPusher": "pusher.component",
    "RunReport": "report_gen.component",
    "SchemaImporter": "schema_importer.component",
    "SearchTuner": "tuner.component",
    "ServabilityCheck": "servability_check.component",
}
__all__ = sorted(_EXPORTS)  # noqa: PLE0605 - the names are those above


def __getattr__(name: str) -> Any:
    """Imports a component or an artifact type when it is first used."""
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)
