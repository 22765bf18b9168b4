"""From our configuration to TFMA's: metrics, slices and thresholds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from tensorflow_model_analysis.proto import config_pb2

from components.evaluator.config import EvalConfig, SliceThresholds
from components.metrics.margins import Kind, Rule, rule_named
from components.metrics.measurement import TRAINED_ON
from components.metrics.registry import default_metric_names
from components.metrics.tfma_metric import metric_config, metric_name
from trainer.serving_contract import EVALUATE

CANDIDATE: Final = "candidate"
BASELINE: Final = "baseline"
SIGNATURE: Final = EVALUATE.name


def to_tfma(config: EvalConfig) -> config_pb2.EvalConfig:
    """Returns the evaluation that `config` asks for.

    Each threshold is a metric of its own that must not be negative, on the slices that
    it is for: see `components.metrics.margins`.
    """
    names = dict.fromkeys([*default_metric_names(config.top_k), *config.metrics])
    metrics = [metric_config(name) for name in names]
    metrics.append(_not_trained_on_held_out())
    for spec, rule in _rules(config):
        metric = metric_config(rule.name)
        threshold = metric.per_slice_thresholds.add(slicing_specs=[spec]).threshold
        threshold.value_threshold.lower_bound.value = 0.0
        metrics.append(metric)
    # All users together, then each value of each feature.
    slices = [config_pb2.SlicingSpec()]
    slices += [config_pb2.SlicingSpec(feature_keys=[n]) for n in config.all_slices]
    evaluation = config_pb2.EvalConfig(
        model_specs=[_model(CANDIDATE), _model(BASELINE, is_baseline=True)],
        metrics_specs=[config_pb2.MetricsSpec(metrics=metrics)],
        slicing_specs=slices,
    )
    # A SavedModel's own Keras metrics have no meaning for a ranking.
    evaluation.options.include_default_metrics.value = False
    return evaluation


def without_live_model(evaluation: config_pb2.EvalConfig) -> config_pb2.EvalConfig:
    """Returns the same evaluation without what needs a live model to compare with."""
    alone = config_pb2.EvalConfig()
    alone.CopyFrom(evaluation)
    for spec in alone.metrics_specs:
        kept = [metric for metric in spec.metrics if not _compares(metric)]
        del spec.metrics[:]
        spec.metrics.extend(kept)
    return alone


def _compares(metric: config_pb2.MetricConfig) -> bool:
    rule = rule_named(metric_name(metric))
    return rule is not None and rule.kind == "change"


def _model(name: str, is_baseline: bool = False) -> config_pb2.ModelSpec:
    # "tf_generic": the signature is called on serialized rows, whatever made the model.
    return config_pb2.ModelSpec(
        name=name,
        signature_name=SIGNATURE,
        model_type="tf_generic",
        is_baseline=is_baseline,
    )


def _not_trained_on_held_out() -> config_pb2.MetricConfig:
    metric = metric_config(TRAINED_ON)
    overall = config_pb2.SlicingSpec()
    threshold = metric.per_slice_thresholds.add(slicing_specs=[overall]).threshold
    threshold.value_threshold.upper_bound.value = 0.0
    return metric


def _rules(config: EvalConfig) -> Iterator[tuple[config_pb2.SlicingSpec, Rule]]:
    """Yields every threshold with the slices that it holds for."""
    for kind, metric, bound in _bounds(config):
        rule = Rule(kind, metric, bound, config.confidence, "overall")
        yield config_pb2.SlicingSpec(), rule
    for name, thresholds in config.slice_thresholds.items():
        spec = _slice_spec(name)
        for kind, metric, bound in _bounds(thresholds):
            yield spec, Rule(kind, metric, bound, config.slice_confidence, "slice")


def _bounds(
    thresholds: EvalConfig | SliceThresholds,
) -> Iterator[tuple[Kind, str, float]]:
    """Yields kind, metric and bound."""
    groups: tuple[tuple[Kind, Mapping[str, float]], ...] = (
        ("floor", thresholds.floors),
        ("lift", thresholds.min_lift),
        ("change", thresholds.max_drop),
    )
    for kind, group in groups:
        for metric, bound in group.items():
            yield kind, metric, bound


def _slice_spec(name: str) -> config_pb2.SlicingSpec:
    """Every value of a feature, or of `feature=value` the one."""
    feature, is_one, value = name.partition("=")
    if is_one:
        return config_pb2.SlicingSpec(feature_values={feature: value})
    return config_pb2.SlicingSpec(feature_keys=[feature])
