"""The headline of each step: one line that shows whether it went well.

A step is recognised by its output keys, so that renaming a node keeps its headline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from components.data_gate import NUM_FINDINGS
from components.evaluator import SUMMARY_FILE
from components.live_model import EXISTS, VERSION
from components.movielens_example_gen.data_summary import SUMMARY_PROPERTY
from components.pusher import AWAITING_APPROVAL, PUSHED_VERSION
from components.report_gen import REPORT_FILE
from components.servability_check import REASONS
from components.warm_start import NOTE
from pipeline.runs.run_record import Artifact, Artifacts
from trainer.train_report import TRAIN_REPORT_FILE
from trainer.tuning.hyperparameters import SEARCH_FILE, format_values


def headline(outputs: Artifacts) -> str:
    """The headline of a finished step; empty if none of its outputs has one."""
    for key, describe in _DESCRIBE.items():
        if key in outputs:
            return describe(outputs[key])
    return ""


def _examples(output: Artifact) -> str:
    rows = (output.json_property(SUMMARY_PROPERTY) or {}).get("rows", {})
    return "rows: " + ", ".join(f"{split} {count:,}" for split, count in rows.items())


def _statistics(output: Artifact) -> str:
    from tensorflow_metadata.proto.v0 import statistics_pb2

    splits = []
    for path in sorted(Path(output.uri).glob("Split-*/FeatureStats.pb")):
        statistics = statistics_pb2.DatasetFeatureStatisticsList.FromString(
            path.read_bytes()
        )
        features = sum(len(dataset.features) for dataset in statistics.datasets)
        splits.append(f"{path.parent.name.removeprefix('Split-')} {features}")
    return f"features: {', '.join(splits)}"


def _schema(output: Artifact) -> str:
    texts = [path.read_text("utf-8") for path in Path(output.uri).glob("*.pbtxt")]
    lines = "\n".join(texts).splitlines()
    return f"{sum(line.startswith('feature {') for line in lines)} features"


def _anomalies(output: Artifact) -> str:
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    count = sum(
        len(anomalies_pb2.Anomalies.FromString(path.read_bytes()).anomaly_info)
        for path in Path(output.uri).glob("Split-*/SchemaDiff.pb")
    )
    return _count(count, "anomaly", "anomalies")


def _transform_graph(output: Artifact) -> str:
    files = (Path(output.uri) / "transform_fn" / "assets").glob("*")
    sizes = {file.name: len(file.read_bytes().splitlines()) for file in files}
    return ", ".join(f"{name} {size:,}" for name, size in sorted(sizes.items()))


def _model_run(output: Artifact) -> str:
    report = output.read_json(TRAIN_REPORT_FILE) or {}
    losses = report.get("loss", ())
    return f"loss {losses[0]:.3f} -> {losses[-1]:.3f}" if losses else ""


def _tuner_results(output: Artifact) -> str:
    search = output.read_json(SEARCH_FILE)
    best = search["trials"][0]
    trials = _count(len(search["trials"]), "trial")
    values = format_values(search["best"])
    # Searches of earlier releases ranked by recall.
    name, key = ("ndcg", "ndcg") if "ndcg" in best else ("recall@10", "recall")
    return f"best of {trials}: {name} {best[key]:.3f} by {values}"


def _evaluation(output: Artifact) -> str:
    summary = output.read_json(SUMMARY_FILE) or {}
    candidate = summary.get("candidate", {})
    shown = [f"{m} {candidate[m]:.3f}" for m in _SHOWN_METRICS if m in candidate]
    return ", ".join((*shown, "blessed" if summary.get("blessed") else "not blessed"))


def _blessing(output: Artifact) -> str:
    faults = output.json_property(REASONS)
    return f"not servable: {faults[0]}" if faults else "servable"


def _pushed_model(output: Artifact) -> str:
    if output.properties.get(AWAITING_APPROVAL):
        return "awaiting approval"
    if not output.properties.get("pushed"):
        return "not pushed"
    return f"version {output.properties.get(PUSHED_VERSION, '?')}"


def _model(output: Artifact) -> str:
    version = output.properties.get(VERSION)
    return f"version {version}" if output.properties.get(EXISTS) else "none yet"


def _count(count: int, one: str, many: str = "") -> str:
    return f"{count or 'no'} {one if count == 1 else many or one + 's'}"


def _run_report(output: Artifact) -> str:
    return REPORT_FILE if (Path(output.uri) / REPORT_FILE).is_file() else ""


_SHOWN_METRICS: Final = ("hit_rate@10", "ndcg@10")
# In this order: a step with several outputs shows the first that is listed.
_DESCRIBE: Final[Mapping[str, Callable[[Artifact], str]]] = {
    "pushed_model": _pushed_model,
    "run_report": _run_report,
    "evaluation": _evaluation,
    "model_run": _model_run,
    "tuner_results": _tuner_results,
    "transform_graph": _transform_graph,
    "report": lambda output: _count(output.properties[NUM_FINDINGS], "problem"),
    "anomalies": _anomalies,
    "schema": _schema,
    "statistics": _statistics,
    "examples": _examples,
    "blessing": _blessing,
    "base_model": lambda output: str(output.properties.get(NOTE, "")),
    "model": _model,
}
