"""The run report as artifacts that the user interface of Kubeflow Pipelines displays.

The interface displays outputs by type, and knows only its own types: a `system.HTML`
artifact is a page, and the numbers in the metadata of `system.Metrics` are a table,
also next to those of other runs. TFX has neither type, so the compiled file declares
both outputs, and the step fills them from the `run_report` artifact that TFX wrote.
https://github.com/kubeflow/pipelines `MetricsVisualizations.tsx`, `CompareV2.tsx`
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from components.report_gen import REPORT_FILE
from pipeline.kubeflow.compiled import CompiledPipeline
from pipeline.kubeflow.executor_input import Json, local_path

# Names under which the interface shows them.
PAGE: Final = "report_page"
METRICS: Final = "headline_metrics"
_SOURCE: Final = "run_report"
_TYPES: Final = {PAGE: "system.HTML", METRICS: "system.Metrics"}
# As in files that the KFP compiler writes.
_TYPE_VERSION: Final = "0.0.1"


def declare(pipeline: CompiledPipeline) -> None:
    """Adds both outputs to the component that writes the run report."""
    for component in pipeline.components.values():
        outputs = component.get("outputDefinitions", {}).get("artifacts", {})
        if _SOURCE in outputs:
            for key, title in _TYPES.items():
                kind = {"schemaTitle": title, "schemaVersion": _TYPE_VERSION}
                outputs[key] = {"artifactType": kind}


def fill(output: Json, declared: Mapping[str, Any]) -> None:
    """Adds both artifacts to the output of the step that declares them.

    The page's URI is that of the file, since a folder is not displayed. Numbers that
    are not finite are left out: JSON cannot hold them.

    Args:
      output: The step's `ExecutorOutput`; changed.
      declared: Output key -> artifacts in the launcher's message.
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
    file = Path(local_path(stored["uri"]))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(metrics, indent=2), encoding="utf-8")
    artifacts = {
        PAGE: {"uri": f"{report['uri'].rstrip('/')}/{REPORT_FILE}", "metadata": {}},
        METRICS: {"uri": stored["uri"], "metadata": metrics},
    }
    for key, artifact in artifacts.items():
        (expected,) = declared[key]["artifacts"]
        name = {"name": expected["name"]} if "name" in expected else {}
        output["artifacts"][key] = {"artifacts": [name | artifact]}
