"""The run report as artifacts that Kubeflow's own pages show.

Those pages draw a step's outputs by their types, and know Kubeflow's types only: a file
of type `system.HTML` is shown as it is, numbers in the metadata of `system.Metrics` are
a table, and beside those of other runs when runs are compared. TFX has neither type, so
the compiled file declares them and the step fills them in, from what TFX left.
https://github.com/kubeflow/pipelines `MetricsVisualizations.tsx`, `CompareV2.tsx`
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pipeline.kubeflow.mirrors import local_path

Json = dict[str, Any]
# Names under which the pages show them.
PAGE: Final = "report_page"
METRICS: Final = "headline_metrics"
_SOURCE: Final = "run_report"
_FILE: Final = "report.html"
_TYPES: Final = {PAGE: "system.HTML", METRICS: "system.Metrics"}
# As kfp compiles its own types.
_TYPE_VERSION: Final = "0.0.1"


def declare(component: Json) -> None:
    """Gives the component that makes the run report both outputs, any other none."""
    outputs = component.get("outputDefinitions", {}).get("artifacts", {})
    if _SOURCE in outputs:
        for key, title in _TYPES.items():
            kind = {"schemaTitle": title, "schemaVersion": _TYPE_VERSION}
            outputs[key] = {"artifactType": kind}


def fill(output: Json, declared: Mapping[str, Any]) -> None:
    """Adds both artifacts to a step's output, where its message has them.

    The page is the file itself: of a folder, nothing would be shown. Numbers that are
    not finite are left out, which no message can hold.

    Args:
      output: The step's `ExecutorOutput`; changed.
      declared: The outputs' artifacts in the launcher's message, by key.
    """
    if _SOURCE not in output["artifacts"] or not {PAGE, METRICS} <= declared.keys():
        return
    (report,) = output["artifacts"][_SOURCE]["artifacts"]
    metrics = {
        key: value
        for key, value in report["metadata"].items()
        if isinstance(value, int | float) and math.isfinite(value)
    }
    (stored,) = declared[METRICS]["artifacts"]
    _write(stored["uri"], metrics)
    made = {
        PAGE: {"uri": f"{report['uri'].rstrip('/')}/{_FILE}", "metadata": {}},
        METRICS: {"uri": stored["uri"], "metadata": metrics},
    }
    for key, artifact in made.items():
        (told,) = declared[key]["artifacts"]
        name = {"name": told["name"]} if "name" in told else {}
        output["artifacts"][key] = {"artifacts": [name | artifact]}


def _write(uri: str, metrics: Mapping[str, float]) -> None:
    """Makes the link to the artifact lead somewhere."""
    path = Path(local_path(uri))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(metrics, indent=2), encoding="utf-8")
