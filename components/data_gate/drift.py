"""Compares the values with those that the live model was trained on, and the splits."""

from __future__ import annotations

from typing import Any, Literal

from components.data_gate.divergence import (
    Statistics,
    by_name,
    divergence,
    num_values,
    parse_statistics,
)
from components.data_gate.findings import Finding
from components.data_gate.inputs import GateInputs
from trainer import features
from trainer.errors import UserError


def check_drift(inputs: GateInputs) -> tuple[dict[str, Any], list[Finding]]:
    """Compares the train split with what the live model was trained on.

    As for LiveModel, the serving directory decides what is live.

    Returns:
      The entry of the report, and the features beyond their bounds.

    Raises:
      UserError: A bound is given for a feature that neither side has.
    """
    reference = inputs.reference
    if reference is None:
        return {"note": "no version is live yet"}, []
    version = reference.version
    if reference.statistics is None:
        return {"note": f"the live version {version} came without statistics"}, []
    divergences, findings = _compare(
        inputs,
        "max_drift",
        features.TRAIN_SPLIT,
        f"the live version {version}",
        parse_statistics(reference.statistics, inputs.serving_dir, version),
    )
    return {"live_version": version, "divergences": divergences}, findings


def check_skew(inputs: GateInputs) -> tuple[dict[str, Any], list[Finding]]:
    """Compares the histories of the eval split with those of the train split.

    Returns:
      The entry of the report, and the features beyond their bounds.

    Raises:
      UserError: A bound is given for a feature that neither split has.
    """
    reference = inputs.split_statistics(features.TRAIN_SPLIT)
    divergences, findings = _compare(
        inputs, "max_skew", features.EVAL_SPLIT, "the split train", reference
    )
    return {"divergences": divergences}, findings


def _compare(
    inputs: GateInputs,
    setting: Literal["max_drift", "max_skew"],
    split: str,
    reference_name: str,
    reference: Statistics,
) -> tuple[dict[str, float], list[Finding]]:
    """Returns feature -> divergence where there is a bound, and what is beyond it."""
    own, other = by_name(inputs.split_statistics(split)), by_name(reference)
    in_schema = {feature.name: feature for feature in inputs.schema.feature}
    measured: dict[str, float] = {}
    findings = []
    for name, bound in sorted(getattr(inputs.config, setting).items()):
        reset = f"--set data.{setting}.{name}=null."
        count = num_values(own[name]) if name in own else 0
        reference_count = num_values(other[name]) if name in other else 0
        if count and reference_count:
            measured[name] = divergence(
                own[name], other[name], in_schema[name], inputs.config.rating_scale
            )
            if measured[name] <= bound:  # False for NaN, which is beyond every bound
                continue
            found = f"{measured[name]:.3f}"
        elif count or reference_count:
            found = f"{count:,} values here and {reference_count:,} there"
        else:
            raise UserError(
                f"data.{setting} names {name}, which neither the split {split} nor "
                f"{reference_name} has",
                f"Remove it: {reset}",
            )
        finding = Finding(
            split=split,
            feature=name,
            expected=f"be distributed as in {reference_name}, with a divergence of at "
            f"most {bound:g}",
            found=found,
            count=count,
            remedy=f"Fix the input; if the change is meant, accept it with {reset}",
        )
        findings.append(finding)
    return measured, findings
