"""`ExampleGenConfig`: what is read, how it is split and how rows are cut."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic.dataclasses import dataclass

from components.movielens_example_gen.inputs.editions import CSV_HEADER
from trainer.config import FROZEN, PositiveInt, Scale
from trainer.movielens import RatingScale

INGEST_OPTION: Final = "movielens_ingest"
IngestMode = Literal["auto", "memory", "beam"]
Column = Literal["user_id", "movie_id", "rating", "timestamp", "title", "genres"]
_COLUMNS_OF_FILES: Final = {
    "ratings": ("user_id", "movie_id", "rating", "timestamp"),
    "movies": ("movie_id", "title", "genres"),
}


def _as_written(value: object) -> object:
    """Undoes YAML's conversion of 12 to a number and of 2026-03-01 to a date."""
    is_span = isinstance(value, (int, datetime.date)) and not isinstance(value, bool)
    return str(value) if is_span else value


SpanId = Annotated[
    str,
    BeforeValidator(_as_written),
    Field(pattern=r"^([0-9]+|[0-9]{4}-[0-9]{2}-[0-9]{2})$"),
]
Name = Annotated[str, Field(min_length=1)]


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class IngestConfig:
    """Where ratings are sorted, which changes no row and is in no cache key.

    Attributes:
      ingest: `memory` sorts all ratings in one process, `beam` in parts on all workers
        of the engine; `auto` does so for files of more than 256 MiB, decompressed.
    """

    ingest: IngestMode = "auto"

    def beam_args(self) -> list[str]:
        """Returns arguments of Beam for the runner, in which the executor finds it."""
        return [] if self.ingest == "auto" else [f"--{INGEST_OPTION}={self.ingest}"]


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class ExampleGenConfig:
    """What is read, how it is split and how rows are cut.

    Attributes:
      dataset: Name of the MovieLens edition.
      split: How the eval split is held out of each timeline.
      holdout: Events held out per user by `leave_last_n`.
      min_user_ratings: Users with fewer events are not trained or evaluated on.
      min_rating: Events with a lower rating are not trained or evaluated on (0 for no
        bound). They still count as seen.
      window_length: Maximum events of a train row, and of a history at inference.
      window_stride: New targets per window; the rest of a window is context.
      activity_bounds: Lower bounds of the timeline-length buckets, in events,
        in ascending order.
      holdout_fraction: Share of the events held out by `temporal_global` and `random`.
      eval_start: First second of the eval period of `temporal_global`, in seconds since
        the epoch, UTC; None to cut at `holdout_fraction`.
      on_bad_row: Whether a bad row ends the run or is set aside.
      max_quarantined_fraction: Share of the rows above which even `quarantine` fails.
      columns: Names in the header of a CSV file, if they differ from MovieLens'. None
        for a column that is not read: without `rating` the data is implicit, and all
        events get the same rating; without `timestamp` only `random` can split them.
      rating_scale: Lowest rating, highest rating and step, such as [1, 10, 1]; None
        for the edition's own scale, in stars.
      span_pattern: Names of span folders, such as `span-{SPAN}`, `{YYYY}-{MM}-{DD}` or
        either with `/version-{VERSION}`; None to recognise them.
      span_window: Number of spans to train on, counted back from the last; None for
        all. Older ones are read, too: what users rated there is not recommended.
      missing_spans: What to do about a number missing within the window: fail, or skip
        it with a warning.
      first_span: First span to train on, a number or a date.
      last_span: Last span, a number or a date; None for the newest. A schedule sets it
        to its date, so that a day without data is an error, and not a run on the day
        before again.
      seed: Seed of the `random` split.
    """

    dataset: str = "ml-100k"
    split: Literal["leave_last_n", "temporal_global", "random"] = "leave_last_n"
    holdout: PositiveInt = 1
    min_user_ratings: PositiveInt = 3
    min_rating: Annotated[float, Field(ge=0)] = 0.0
    window_length: PositiveInt = 100
    window_stride: PositiveInt = 50
    activity_bounds: tuple[PositiveInt, ...] = (20, 50, 100, 200)
    holdout_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    eval_start: Annotated[int, Field(ge=0)] | None = None
    on_bad_row: Literal["fail", "quarantine"] = "fail"
    max_quarantined_fraction: Annotated[float, Field(gt=0, le=1)] = 0.01
    columns: Mapping[Column, Name | None] = Field(default_factory=dict)
    rating_scale: Scale | None = None
    span_pattern: Name | None = None
    span_window: PositiveInt | None = None
    missing_spans: Literal["fail", "skip"] = "fail"
    first_span: SpanId | None = None
    last_span: SpanId | None = None
    seed: int = 42

    @model_validator(mode="after")
    def _check_combinations(self) -> ExampleGenConfig:
        if self.split == "leave_last_n" and self.min_user_ratings <= self.holdout:
            raise ValueError(
                f"min_user_ratings is {self.min_user_ratings}, but it must be more "
                f"than holdout ({self.holdout}), else a user would have nothing to "
                "train on"
            )
        highest = RatingScale.of(self.rating_scale).highest
        if self.min_rating > highest:
            raise ValueError(
                f"min_rating is {self.min_rating:g}, but the highest rating is "
                f"{highest:g} (rating_scale): no event would be left"
            )
        if self.first_span is not None and self.span_window is not None:
            raise ValueError(
                f"first_span is {self.first_span} and span_window "
                f"{self.span_window}: give a range or a window, not both"
            )
        if self.window_stride > self.window_length:
            raise ValueError(
                f"window_stride is {self.window_stride}, but it may be at most "
                f"window_length ({self.window_length}), else events between two "
                "windows would never be a target"
            )
        if list(self.activity_bounds) != sorted(set(self.activity_bounds)):
            raise ValueError(
                f"activity_bounds is {list(self.activity_bounds)}, but each bound must "
                "be higher than the one before it, else users would be in two buckets"
            )
        self._check_columns()
        return self

    def _check_columns(self) -> None:
        for name in ("user_id", "movie_id", "title"):
            if name in self.columns and self.columns[name] is None:
                raise ValueError(
                    f"columns.{name} is null, but only rating, timestamp and genres "
                    "can be left out"
                )
        given = {str(column): name for column, name in self.columns.items()}
        names: dict[str, str | None] = {**CSV_HEADER, **given}
        for file, columns in _COLUMNS_OF_FILES.items():
            named = [names[column] for column in columns if names[column] is not None]
            twice = next((name for name in named if named.count(name) > 1), None)
            if twice is not None:
                both = " and ".join(c for c in columns if names[c] == twice)
                raise ValueError(
                    f"columns has {both} both in {twice!r} of the {file} file (a "
                    "column that is not set has MovieLens' name): each column of a "
                    "file is read once"
                )
        if "rating" in self.columns and self.columns["rating"] is None:
            if self.min_rating > 0:
                raise ValueError(
                    f"min_rating is {self.min_rating:g}, but columns.rating is null: "
                    "there are no ratings to compare with it"
                )
        if "timestamp" in self.columns and self.columns["timestamp"] is None:
            if self.split != "random":
                raise ValueError(
                    f"split is {self.split}, but columns.timestamp is null: without "
                    "times nothing is last, and only random can split the events"
                )
