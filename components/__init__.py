"""Custom TFX components, one package each.

Each of them is written in one of two ways, whichever fits:

* A new step is a function with TFX's `@component`, on all runners: SchemaImporter,
  DataGate and ServabilityCheck. ReportGen is a class only because its page shows the id
  of the run, which executors receive and functions do not; LiveModel and WarmStart
  because they have drivers.
* A variant of a TFX component subclasses it or its spec and has another executor:
  MovieLensExampleGen, RetrievalStatisticsGen, RetrievalExampleValidator,
  RetrievalTransform, SearchTuner, RetrievalEvaluator and RetrievalPusher.

No component takes a fingerprint of its code: `pipeline.fingerprints` adds one to every
node of a pipeline.

The classes are imported when they are first used, since TFX takes seconds to import.
On Kubeflow, TFX imports the class of a custom artifact type from here, because it
expects it at `<package>.<Class>`.

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
    "DataReport": "data_gate.component",
    "LiveModel": "live_model.component",
    "MovieLensExampleGen": "movielens_example_gen.component",
    "ReportGen": "report_gen.component",
    "RetrievalEvaluator": "evaluator.component",
    "RetrievalExampleValidator": "example_validator.component",
    "RetrievalPusher": "pusher.component",
    "RetrievalStatisticsGen": "statistics_gen.component",
    "RetrievalTransform": "transform.component",
    "RunReport": "report_gen.component",
    "SchemaImporter": "schema_importer.component",
    "SearchTuner": "tuner.component",
    "ServabilityCheck": "servability_check.component",
    "WarmStart": "warm_start.component",
}
__all__ = sorted(_EXPORTS)  # noqa: PLE0605 - the names are those above


def __getattr__(name: str) -> Any:
    """Imports a component or an artifact type when it is first used."""
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)
