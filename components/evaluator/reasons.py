"""Sentences that explain why a candidate was blessed or not."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

from components.evaluator.results import QUERIES, TRAINED_ON, SliceResult
from components.evaluator.thresholds import Outcome

_MAX_DECIMALS: Final = 10


def reasons(
    overall: SliceResult,
    checked: Sequence[Outcome],
    missing: Sequence[str],
    ignored_fault: str | None,
    live_note: str = "",
) -> list[str]:
    """Returns the reasons, failures first.

    Args:
      overall: All users together.
      checked: Every threshold.
      missing: Slices that have a threshold but no query.
      ignored_fault: Why the live model was left out, where it is broken and ignored.
      live_note: Why there is no model to compare with, from LiveModel.
    """
    return [
        *_faults(overall, missing),
        *(sentence(item) for item in checked if not item.passed),
        *(sentence(item) for item in checked if item.passed and not item.slice),
        *_passed_in_slices(checked),
        *_about_live_model(overall, ignored_fault, live_note),
    ]


def sentence(outcome: Outcome) -> str:
    """Returns one sentence about a threshold, met or not."""
    link = ", " if outcome.passed else ", but "
    explain = {"floor": _floor, "lift": _lift, "change": _change}[outcome.kind]
    where = f"{outcome.slice} ({outcome.queries} users): " if outcome.slice else ""
    return where + explain(outcome, link)


def _floor(item: Outcome, link: str) -> str:
    return (
        f"{item.metric} is {_distinct(item.value, item.bound, 4)}{link}"
        f"at least {item.bound:g} is required{_beyond_noise(item)}"
    )


def _lift(item: Outcome, link: str) -> str:
    lift = f"{_distinct(item.compared, item.bound, 1)}x"
    if math.isinf(item.compared):
        lift = "above"
    start = f"{item.metric} {item.value:.4f} is {lift} popularity "
    start += f"({item.reference:.4f}){link}"
    if not (item.passed or item.slice) and item.compared >= item.bound:
        gain = item.value - item.reference
        if gain < 0:
            return f"{start}worse by {-gain:.4f}: it must be better beyond noise"
        return f"{start}a gain of {gain:+.4f} is within noise ({item.noise:.4f})"
    return f"{start}at least {item.bound:g}x is required{_beyond_noise(item)}"


def _change(item: Outcome, link: str) -> str:
    if math.isnan(item.reference) and not math.isnan(item.value):
        return (
            f"{item.metric} of the live model is unknown: it was exported before there "
            f"was this metric. Set no max_drop of {item.metric} until a newer one is "
            "live"
        )
    least = -max(-item.bound, item.noise)
    start = (
        f"{item.metric} {item.value:.4f} is "
        f"{_distinct(item.compared, least, 4)} against the live model "
        f"({item.reference:.4f}){link}at least {least:+.4f} is required"
    )
    return start + (" (noise)" if least < item.bound else "")


def _beyond_noise(item: Outcome) -> str:
    return f", beyond noise ({item.noise:.4f})" if item.slice else ""


def _distinct(value: float, bound: float, decimals: int) -> str:
    """Formats `value` with enough decimals to look different from `bound`."""
    sign = "+" if bound <= 0 else ""
    while decimals < _MAX_DECIMALS and value != bound:
        if float(f"{value:.{decimals}f}") != float(f"{bound:.{decimals}f}"):
            break
        decimals += 1
    return f"{value:{sign}.{decimals}f}"


def _faults(overall: SliceResult, missing: Sequence[str]) -> Iterator[str]:
    """Yields failures other than a metric below its threshold."""
    if not overall.candidate[QUERIES]:
        yield "no eval query has a held-out movie, so nothing was measured"
    if known := int(overall.candidate[TRAINED_ON]):
        yield (
            f"the model was trained on what it is evaluated on: {known} of the "
            "held-out events are among those that it was fitted to, but none may be"
        )
    for name in missing if overall.candidate[QUERIES] else ():
        yield f"no query belongs to the slice {name}, but it has a threshold"


def _passed_in_slices(checked: Sequence[Outcome]) -> Iterator[str]:
    """Yields one sentence per threshold and feature: there may be dozens of slices."""
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


def _about_live_model(
    overall: SliceResult, ignored_fault: str | None, live_note: str
) -> Iterator[str]:
    if ignored_fault:
        yield f"the live model was ignored: {ignored_fault}"
    elif overall.baseline is None:
        yield live_note or "there is no live model to compare with"
    elif known := int(overall.baseline.get(TRAINED_ON, 0)):
        yield (
            f"the live model was trained on {known} of the held-out events, which "
            "flatters it"
        )
