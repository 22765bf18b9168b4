"""What a report tells, in plain values: what there is to render and nothing else."""

from __future__ import annotations

import dataclasses
from typing import Any

from components.evaluator.retrieval_summary import RetrievalSummary
from components.movielens_example_gen.data_summary import DataSummary


@dataclasses.dataclass(frozen=True)
class Watched:
    """An event of a user.

    Attributes:
      title: Title of the movie.
      rating: Stars.
    """

    title: str
    rating: float


@dataclasses.dataclass(frozen=True)
class Recommended:
    """A recommended movie.

    Attributes:
      title: Title of the movie.
      genres: Separated by commas.
      is_held_out: Whether it is what the user watched next.
    """

    title: str
    genres: str
    is_held_out: bool


@dataclasses.dataclass(frozen=True)
class UserSample:
    """What a user watched, and what the model would have recommended then.

    Attributes:
      user_id: As in the edition.
      num_events: Events of the training timeline.
      recent: Its newest events, the newest first.
      held_out: What the user watched next.
      recommended: The best movies, best first.
    """

    user_id: str
    num_events: int
    recent: list[Watched]
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
    """All about a run.

    Attributes:
      run_id: Run that made the report; later runs that changed nothing reuse it.
      made_at: When it was made, UTC, for people.
      config: The whole configuration.
      data: What MovieLensExampleGen read; empty if it is not known.
      gate: What DataGate found: `data_report.json`.
      training: `train_report.json`.
      evaluation: `retrieval_summary.json`.
      model_info: What the exported model says of itself.
      not_servable: Why a server could not use the model; empty if it could.
      pushed_version: Version under which it is served; None if it was not pushed.
      live_version: Version that it was compared with; None if there was none.
      users: A few users.
      steps: Steps before this one; empty if no runner noted how long they took.
      lineage: What the model was made of: name and place or fingerprint.
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
    live_version: str | None
    users: list[UserSample]
    steps: list[StepTime]
    lineage: list[tuple[str, str]]
