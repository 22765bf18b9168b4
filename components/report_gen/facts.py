"""The content of a report as plain values, which `page` renders."""

from __future__ import annotations

import dataclasses
from typing import Any

from components.evaluator.retrieval_summary import RetrievalSummary
from components.movielens_example_gen.data_summary import DataSummary


@dataclasses.dataclass(frozen=True)
class Recommended:
    """A recommended movie.

    Attributes:
      title: Title of the movie.
      genres: Separated by commas.
      is_held_out: Whether it is the movie that the user watched next.
    """

    title: str
    genres: str
    is_held_out: bool


@dataclasses.dataclass(frozen=True)
class UserSample:
    """A user's history, and what the model recommends from it.

    Attributes:
      user_id: As in the edition.
      num_events: Movies that the user has seen.
      recent: Titles and stars of its newest events, the newest first.
      held_out: The movies that the user watched next.
      recommended: The recommended movies, best first.
    """

    user_id: str
    num_events: int
    recent: list[tuple[str, float]]
    held_out: list[str]
    recommended: list[Recommended]


@dataclasses.dataclass(frozen=True)
class StepTime:
    """How long a step took.

    Attributes:
      id: Node id.
      state: done or cached.
      seconds: From its start to its end; 0 for a cached step.
    """

    id: str
    state: str
    seconds: float


@dataclasses.dataclass(frozen=True)
class Facts:
    """Everything that the page of a run shows.

    Attributes:
      run_id: Run that made the report; later runs that change nothing reuse it.
      made_at: Date and time at which it was made, UTC.
      config: The configuration, with the tuned values.
      data: What MovieLensExampleGen read; empty if it is not known.
      gate: `data_report.json` of DataGate.
      training: `train_report.json`.
      evaluation: `retrieval_summary.json`.
      model_info: `assets.extra/model_info.json` of the exported model.
      not_servable: Why the model is not servable; empty if it is.
      pushed_version: Its version in the serving directory; None if it was not pushed.
      awaits_approval: Whether it waits for `two-tower approve`.
      live_version: Version of the live model; None if there was none.
      users: A few users with their recommendations.
      steps: Steps before this one; empty if no runner noted how long they took.
      lineage: What the model was made of: rows of name and URI or fingerprint.
      feedback: `feedback.json`; None if `feedback.impressions` is not set.
    """

    run_id: str
    made_at: str
    config: dict[str, Any]
    data: DataSummary
    gate: dict[str, Any]
    training: dict[str, Any]
    evaluation: RetrievalSummary
    model_info: dict[str, Any]
    not_servable: list[str]
    pushed_version: str | None
    awaits_approval: bool
    live_version: str | None
    users: list[UserSample]
    steps: list[StepTime]
    lineage: list[tuple[str, str]]
    feedback: dict[str, Any] | None = None
