"""Why a candidate was or was not blessed, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from components.evaluator.results import SliceResult, Verdict
from components.evaluator.thresholds import Outcome
from components.metrics.measurement import QUERIES, TRAINED_ON


def reasons(
    overall: SliceResult,
    checked: Sequence[Outcome],
    verdict: Verdict,
    ignored_fault: str | None,
) -> list[str]:
    """Returns the reasons, what was failed first.

    Args:
      overall: All users together.
      checked: Every threshold.
      verdict: What TFMA says.
      ignored_fault: Why the live model could not be compared with, if it was ignored.
    """
    return [
        *_faults(overall, verdict),
        *(str(item) for item in checked if not item.passed),
        *(str(item) for item in checked if item.passed and not item.slice),
        *_passed_in_slices(checked),
        *_about_live_model(overall, ignored_fault),
    ]


def _faults(overall: SliceResult, verdict: Verdict) -> Iterator[str]:
    """What is wrong apart from a number that is too small."""
    if not overall.candidate[QUERIES]:
        yield "no eval query has a held-out movie, so nothing was measured"
    if known := int(overall.candidate[TRAINED_ON]):
        yield (
            f"the model was trained on what it is evaluated on: {known} of the "
            "held-out events are among those that it was fitted to, but none may be"
        )
    for name in verdict.missing if overall.candidate[QUERIES] else ():
        yield f"no query belongs to the slice {name}, but it has a threshold"


def _passed_in_slices(checked: Sequence[Outcome]) -> Iterator[str]:
    """One sentence for each threshold and feature: there may be dozens of slices."""
    groups: dict[tuple[str, ...], list[Outcome]] = {}
    for item in checked:
        if item.slice:
            key = item.slice.partition("=")[0], item.kind, item.metric, str(item.bound)
            groups.setdefault(key, []).append(item)
    for (feature, kind, metric, _), items in groups.items():
        passed = sum(item.passed for item in items)
        if passed:
            wanted = {
                "floor": f"at least {items[0].bound:g}",
                "lift": f"at least {items[0].bound:g}x popularity",
                "change": f"at most {-items[0].bound:g} below the live model",
            }[kind]
            yield (
                f"{metric} is {wanted}, or within noise of it, in {passed} of "
                f"{len(items)} slices by {feature}"
            )


def _about_live_model(overall: SliceResult, ignored_fault: str | None) -> Iterator[str]:
    if ignored_fault:
        yield f"the live model was ignored: {ignored_fault}"
    elif overall.baseline is None:
        yield "there is no live model to compare with"
    elif known := int(overall.baseline.get(TRAINED_ON, 0)):
        yield (
            f"the live model was trained on {known} of the held-out events, which "
            "flatters it"
        )
