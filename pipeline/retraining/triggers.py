"""Decides whether there is a reason to retrain, beside the clock.

Three checks, each with a bound in the section `retrain` of the configuration:

* New ratings: their number, or their share of the ratings before, since the newest span
  that was trained on.
* Drift: how far movies and ratings of the newest span are from what the live model was
  trained on, by the measure of `components.data_gate.divergence`.
* Quality: whether the live model is worse on the newest span than it should be.

How good a model is on a span depends on the span: on its users, how much is known of
them, how predictable they are. Values of two spans are therefore not compared, nor is a
prequential value with that of the Evaluator, which asks for one event of each user
of another kind. Compared is the model's *advantage*, the mean over users of its
recall@10 minus that of popularity on the same events. Popularity is counted up to the
span, so it is never out of date; what makes a span hard makes it hard for both.

The check has two tests:

1. The advantage on the newest span is below 0: the model is worse than no model.
2. It is below the advantage on the first span after those that were trained on, when
   the model was new: z = (first - newest) / sqrt(SE(first)^2 + SE(newest)^2).

Each is one-sided, at half of 1 - `retrain.quality_confidence`, so that both together
raise a false alarm at most that often, as far as users are a random sample: a span that
favours popularity more than another does is taken for a loss of quality. Both spans are
read from their files, so nothing is remembered between two checks, and a model that was
rolled back is judged as any other. The second test needs two new spans.
"""

from __future__ import annotations

import enum
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from components import storage
from components.metrics import uncertainty
from components.metrics.base import FloatArray
from components.metrics.paired import MeanEstimate, PairedSums
from components.serving_directory import STATISTICS_FILE, live_version
from pipeline.retraining.config import RetrainConfig
from trainer import features

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig
    from pipeline.retraining.prequential import Prequential
    from pipeline.retraining.span_queries import SpanData

_METRIC: Final = "recall@10"
_MODEL: Final = "live"


class Trigger(str, enum.Enum):
    """Why to retrain."""

    NO_MODEL = "no live model"
    NEW_RATINGS = "new ratings"
    DRIFT = "drift"
    QUALITY = "quality"


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
      trigger: What was checked.
      fired: Whether it is a reason to retrain.
      text: What was found and what the bound is, in one line.
    """

    trigger: Trigger
    fired: bool
    text: str

    def __str__(self) -> str:
        """Formats it as `drift: movie_ids 0.21, at most 0.3`."""
        return f"{self.trigger.value}: {self.text}"


@dataclass(frozen=True)
class Decision:
    """All checks that were made."""

    checks: tuple[Check, ...]

    @property
    def reasons(self) -> list[Check]:
        """Those that fired; empty if there is no need to retrain."""
        return [check for check in self.checks if check.fired]

    @property
    def why_not(self) -> list[Check]:
        """Those that did not fire."""
        return [check for check in self.checks if not check.fired]


def reasons_to_retrain(
    config: PipelineConfig,
    base: Path,
    serving_dir: str,
    *,
    trained: int | None,
    span: str | None = None,
) -> Decision:
    """Checks whether there is a reason to retrain.

    It imports TensorFlow and takes some 15 seconds, unless there is no new span.

    Args:
      config: Bounds, and how ratings are read.
      base: Folder of the spans.
      serving_dir: The served versions.
      trained: Number of the newest span that the last retraining read, as in
        `components.movielens_example_gen.inputs.spans.SpanFiles`; None if not known.
      span: The span to look at, as in `data.last_span`; None for the newest.

    Raises:
      UserError: A file is missing or has a bad row, or the live model is damaged.
    """
    version = live_version(serving_dir)
    if version is None:
        return Decision((Check(Trigger.NO_MODEL, True, "nothing is served yet"),))
    if trained is None:
        text = "no record says which spans were trained on"
        return Decision((Check(Trigger.NEW_RATINGS, True, text),))
    from pipeline.retraining.span_queries import SpanData, newest_span

    if newest_span(base, config.data, span) <= trained:
        text = "the newest span was trained on already"
        return Decision((Check(Trigger.NEW_RATINGS, False, text),))
    data = SpanData.read(base, config.data, span)
    return Decision(
        (
            _new_ratings(data, trained, config.retrain),
            _drift(data, serving_dir, version, config),
            _quality(data, Path(serving_dir, version), trained, config.retrain),
        )
    )


def _new_ratings(data: SpanData, trained: int, config: RetrainConfig) -> Check:
    """Counts the ratings of the spans since the last retraining."""
    is_new = np.array([files.span > trained for files in data.spans])
    in_new = is_new[data.raw.ratings.spans]
    count, before = int(in_new.sum()), int((~in_new).sum())
    share = count / before if before else math.inf
    bounds = []
    fired = False
    if config.min_new_ratings is not None:
        bounds.append(f"{config.min_new_ratings:,}")
        fired |= count >= config.min_new_ratings
    if config.min_new_share is not None:
        bounds.append(f"{config.min_new_share:.1%}")
        fired |= share >= config.min_new_share
    wanted = " or ".join(bounds)
    text = f"{count:,} since the last retraining, {share:.1%} of those before"
    text += f"; {wanted} would be enough" if bounds else "; no bound is set"
    return Check(Trigger.NEW_RATINGS, fired, text)


def _drift(
    data: SpanData, serving_dir: str, version: str, config: PipelineConfig
) -> Check:
    """Compares the newest span with what the live model was trained on."""
    bounds = {str(name): bound for name, bound in config.retrain.max_drift.items()}
    if not bounds:
        return Check(Trigger.DRIFT, False, "no bound is set")
    content = storage.read(os.path.join(serving_dir, version, STATISTICS_FILE))
    if content is None:
        text = f"version {version} came without statistics of its training data"
        return Check(Trigger.DRIFT, False, text)
    if not (data.raw.ratings.spans == len(data.spans) - 1).any():
        return Check(Trigger.DRIFT, False, "the newest span has no ratings")
    measured = _divergences(data, content, (serving_dir, version), config)
    if not measured:
        text = f"version {version}'s statistics have no {' or '.join(sorted(bounds))}"
        return Check(Trigger.DRIFT, False, text)
    parts = [f"{name} {measured[name]:.3f} ({bounds[name]:g})" for name in measured]
    fired = any(not measured[name] <= bounds[name] for name in measured)
    text = f"{', '.join(parts)} between the newest span and version {version}'s data"
    return Check(Trigger.DRIFT, fired, f"{text}; the bounds are in parentheses")


def _divergences(
    data: SpanData, content: bytes, place: tuple[str, str], config: PipelineConfig
) -> dict[str, float]:
    """Returns feature -> divergence, for the features that have a bound."""
    from tensorflow_metadata.proto.v0 import schema_pb2

    from components.data_gate.divergence import by_name, divergence, parse_statistics

    reference = by_name(parse_statistics(content, *place))
    own = _statistics(data)
    return {
        name: divergence(
            own[name],
            reference[name],
            schema_pb2.Feature(name=name),
            config.data.rating_scale,
        )
        for name in sorted(config.retrain.max_drift)
        if name in reference
    }


def _statistics(data: SpanData) -> Mapping[str, Any]:
    """Returns what TFDV would of movies and ratings of the newest span."""
    from tensorflow_metadata.proto.v0 import statistics_pb2

    ratings = data.raw.ratings
    is_new = ratings.spans == len(data.spans) - 1
    new = ratings.take(is_new & (ratings.ratings >= data.config.min_rating))
    movies = statistics_pb2.FeatureNameStatistics()
    movies.string_stats.common_stats.tot_num_values = len(new)
    codes, counts = np.unique(new.movies, return_counts=True)
    for movie, count in zip(new.movie_ids[codes], counts.tolist(), strict=True):
        movies.string_stats.rank_histogram.buckets.add(
            label=movie.decode(), sample_count=count
        )
    stars = statistics_pb2.FeatureNameStatistics()
    stars.num_stats.common_stats.tot_num_values = len(new)
    histogram = stars.num_stats.histograms.add()
    for value, count in zip(*np.unique(new.ratings, return_counts=True), strict=True):
        histogram.buckets.add(low_value=value, high_value=value, sample_count=count)
    return {features.MOVIE_IDS: movies, features.RATINGS: stars}


def _quality(data: SpanData, model: Path, trained: int, config: RetrainConfig) -> Check:
    """Measures the live model on the first and on the newest new span."""
    if config.quality_confidence is None:
        return Check(Trigger.QUALITY, False, "no bound is set")
    from pipeline.retraining.prequential import measure

    new = [f.span for f in data.spans if f.span > trained and f.files.ratings]
    measured = {}
    for span in {new[0], new[-1]}:
        measured[span] = measure({_MODEL: model}, data.queries(span))
        if measured[span].trained_on[_MODEL]:
            text = "the live model was trained on events of a new span already"
            return Check(Trigger.QUALITY, False, text)
    first = _advantage(measured[new[0]]) if len(new) > 1 else None
    return judge(_advantage(measured[new[-1]]), first, config.quality_confidence)


def _advantage(measured: Prequential) -> FloatArray:
    """The model's recall@10 minus that of popularity, `[users]`."""
    own, popularity = (measured.of(_METRIC, ranker) for ranker in measured.rankers)
    return own - popularity


def judge(newest: FloatArray, first: FloatArray | None, confidence: float) -> Check:
    """Decides whether a model has lost its quality: see the module.

    Args:
      newest: `[users]` advantage over popularity on the newest span, from -1 to 1.
      first: The same on the first new span; None if that is the newest.
      confidence: Of both tests together that a good model raises no alarm.
    """
    quantile = uncertainty.one_sided(1 - (1 - confidence) / 2)
    estimate = _mean(newest)
    lines = list[str]()
    fired = False
    if not estimate.count:
        return Check(Trigger.QUALITY, False, "the newest span has no event to predict")
    for text, is_bad in _tests(estimate, first, quantile):
        lines.append(text)
        fired |= is_bad
    return Check(Trigger.QUALITY, fired, "; ".join(lines))


def _tests(
    newest: MeanEstimate, first: FloatArray | None, quantile: float
) -> Iterator[tuple[str, bool]]:
    """Yields what each test found, and whether it is beyond noise."""
    error = newest.adjusted_error
    yield (
        f"{_METRIC} is {newest.mean:+.4f} against popularity on the newest span "
        f"(noise {quantile * error:.4f})",
        newest.mean < -quantile * error,
    )
    before = None if first is None else _mean(first)
    if before is None or not before.count:
        yield "a fall can be seen from the second new span on", False
        return
    fall = before.mean - newest.mean
    noise = quantile * math.hypot(error, before.adjusted_error)
    yield (
        f"it was {before.mean:+.4f} on the first new span, a fall of {fall:+.4f} "
        f"(noise {noise:.4f})",
        fall > noise,
    )


def _mean(values: FloatArray) -> MeanEstimate:
    """Values from -1 to 1 as an estimate of a difference of two fractions."""
    sums = PairedSums.zero(1, 2)
    sums.add(np.stack([values, np.zeros_like(values)])[np.newaxis])
    return sums.difference(0, 0, 1)
