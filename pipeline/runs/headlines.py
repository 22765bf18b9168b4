"""The one figure of each step that tells a reader whether it went well.

A step is recognised by its outputs, so that renaming a node does not lose its figure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from trainer.train_report import TRAIN_REPORT_FILE
from trainer.tuning.hyperparameters import SEARCH_FILE, format_values


@dataclass(frozen=True)
class Output:
    """One output artifact of a step.

    Attributes:
      uri: Its folder.
      properties: Properties and custom properties from ML Metadata.
    """

    uri: str
    properties: Mapping[str, Any] = field(default_factory=dict)

    def read_json(self, name: str) -> Any:
        """Content of a JSON file of the artifact; None where there is no such file."""
        path = Path(self.uri) / name
        return json.loads(path.read_text("utf-8")) if path.is_file() else None


Outputs = Mapping[str, Output]


def figure(outputs: Outputs) -> str:
    """The figure to show beside a finished step; empty where there is none."""
    for key, describe in _DESCRIBE.items():
        if key in outputs:
            return describe(outputs[key])
    return ""


def _examples(output: Output) -> str:
    summary = json.loads(output.properties.get("summary", "{}"))
    rows = summary.get("rows", {})
    return "rows: " + ", ".join(f"{split} {count:,}" for split, count in rows.items())


def _statistics(output: Output) -> str:
    from tensorflow_metadata.proto.v0 import statistics_pb2

    splits = []
    for path in sorted(Path(output.uri).glob("Split-*/FeatureStats.pb")):
        statistics = statistics_pb2.DatasetFeatureStatisticsList.FromString(
            path.read_bytes()
        )
        features = sum(len(dataset.features) for dataset in statistics.datasets)
        splits.append(f"{path.parent.name.removeprefix('Split-')} {features}")
    return f"features: {', '.join(splits)}"


def _schema(output: Output) -> str:
    texts = [path.read_text("utf-8") for path in Path(output.uri).glob("*.pbtxt")]
    lines = "\n".join(texts).splitlines()
    return f"{sum(line.startswith('feature {') for line in lines)} features"


def _anomalies(output: Output) -> str:
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    count = sum(
        len(anomalies_pb2.Anomalies.FromString(path.read_bytes()).anomaly_info)
        for path in Path(output.uri).glob("Split-*/SchemaDiff.pb")
    )
    return _counted(count, "anomaly", "anomalies")


def _report(output: Output) -> str:
    return _counted(output.properties["anomalies"], "problem", "problems")


def _transform_graph(output: Output) -> str:
    files = (Path(output.uri) / "transform_fn" / "assets").glob("*")
    sizes = {file.name: len(file.read_bytes().splitlines()) for file in files}
    return ", ".join(f"{name} {size:,}" for name, size in sorted(sizes.items()))


def _model_run(output: Output) -> str:
    report = output.read_json(TRAIN_REPORT_FILE) or {}
    losses = report.get("loss", ())
    return f"loss {losses[0]:.3f} -> {losses[-1]:.3f}" if losses else ""


def _tuner_results(output: Output) -> str:
    search = output.read_json(SEARCH_FILE)
    best = search["trials"][0]
    trials = _counted(len(search["trials"]), "trial", "trials")
    values = format_values(search["best"])
    return f"best of {trials}: recall@10 {best['recall']:.3f} by {values}"


def _evaluation(output: Output) -> str:
    summary = output.read_json("retrieval_summary.json") or {}
    candidate = summary.get("candidate", {})
    shown = [f"{m} {candidate[m]:.3f}" for m in _EVALUATION if m in candidate]
    return ", ".join((*shown, "blessed" if summary.get("blessed") else "not blessed"))


def _blessing(output: Output) -> str:
    reasons = refusals(output)
    return f"not servable: {reasons[0]}" if reasons else "servable"


def refusals(blessing: Output) -> list[str]:
    """Why ServabilityCheck refused a model; empty where it did not."""
    reasons: list[str] = json.loads(str(blessing.properties.get("reasons") or "[]"))
    return reasons


def _pushed_model(output: Output) -> str:
    if not output.properties.get("pushed"):
        return "not pushed"
    return f"version {output.properties.get('pushed_version', '?')}"


def _model(output: Output) -> str:
    version = output.properties.get("version")
    return f"version {version}" if output.properties.get("exists") else "none yet"


def _counted(count: int, one: str, many: str) -> str:
    return f"{count or 'no'} {one if count == 1 else many}"


def _run_report(output: Output) -> str:
    return next((path.name for path in Path(output.uri).glob("*.html")), "")


_EVALUATION: Final = ("hit_rate@10", "ndcg@10")
# In this order: a step with several outputs shows the first that is listed.
_DESCRIBE: Final[Mapping[str, Callable[[Output], str]]] = {
    "pushed_model": _pushed_model,
    "run_report": _run_report,
    "evaluation": _evaluation,
    "model_run": _model_run,
    "tuner_results": _tuner_results,
    "transform_graph": _transform_graph,
    "report": _report,
    "anomalies": _anomalies,
    "schema": _schema,
    "statistics": _statistics,
    "examples": _examples,
    "blessing": _blessing,
    "model": _model,
}
