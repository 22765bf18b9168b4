"""From our configuration to TFMA's: metrics, slices and thresholds."""

from __future__ import annotations

from typing import Final

from tensorflow_model_analysis.proto import config_pb2

from components.metrics.catalogue import default_metric_names
from components.metrics.popularity_lift import LIFT_PREFIX
from components.metrics.tfma_metric import metric_config
from pipeline.config import EvalConfig

CANDIDATE: Final = "candidate"
BASELINE: Final = "baseline"
SIGNATURE: Final = "evaluate"


def to_tfma(config: EvalConfig) -> config_pb2.EvalConfig:
    """Returns the evaluation that `config` asks for.

    Thresholds hold for all users together, not for every slice: a slice of a dozen
    users would refuse every model by chance. Those of the loss against the baseline are
    dropped by TFX where there is none.
    """
    metrics = [metric_config(name) for name in default_metric_names(config.top_k)]
    by_name = dict(zip(default_metric_names(config.top_k), metrics, strict=True))
    for name, threshold in _thresholds(config).items():
        by_name[name].per_slice_thresholds.add(
            slicing_specs=[config_pb2.SlicingSpec()], threshold=threshold
        )
    # All users together, then each value of each feature.
    slices = [config_pb2.SlicingSpec()]
    slices += [config_pb2.SlicingSpec(feature_keys=[name]) for name in config.slices]
    evaluation = config_pb2.EvalConfig(
        model_specs=[_model(CANDIDATE), _model(BASELINE, is_baseline=True)],
        metrics_specs=[config_pb2.MetricsSpec(metrics=metrics)],
        slicing_specs=slices,
    )
    # A SavedModel's own Keras metrics have no meaning for a ranking.
    evaluation.options.include_default_metrics.value = False
    return evaluation


def _model(name: str, is_baseline: bool = False) -> config_pb2.ModelSpec:
    # "tf_generic": the signature is called on serialized rows, whatever made the model.
    return config_pb2.ModelSpec(
        name=name,
        signature_name=SIGNATURE,
        model_type="tf_generic",
        is_baseline=is_baseline,
    )


def _thresholds(config: EvalConfig) -> dict[str, config_pb2.MetricThreshold]:
    """Name of the metric -> what it must reach."""
    lifts = {LIFT_PREFIX + name: bound for name, bound in config.min_lift.items()}
    thresholds: dict[str, config_pb2.MetricThreshold] = {}
    for name, bound in {**config.floors, **lifts}.items():
        threshold = thresholds.setdefault(name, config_pb2.MetricThreshold())
        threshold.value_threshold.lower_bound.value = bound
    for name, drop in config.max_drop.items():
        change = thresholds.setdefault(name, config_pb2.MetricThreshold())
        change.change_threshold.direction = config_pb2.HIGHER_IS_BETTER
        change.change_threshold.absolute.value = -drop
    return thresholds
