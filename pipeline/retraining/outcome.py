"""What became of one retraining: for notifications, monitoring and the history.

Every retraining appends its outcome to `retrainings.jsonl` in the workspace, also one
that found nothing to do, and so has no run. The file outlives what `clean` deletes.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from typing import Any, Final

OUTCOMES_FILE: Final = "retrainings.jsonl"
# Exit code of `retrain --if-needed` that found no reason.
NO_REASON_EXIT: Final = 3


class Status(str, enum.Enum):
    """How a retraining ended. In all cases but `PUSHED` the live model stays."""

    PUSHED = "pushed"
    AWAITING_APPROVAL = "awaiting_approval"
    NOT_BLESSED = "not_blessed"  # worse than required, or not servable
    REFUSED = "refused"  # the data is not fit: by DataGate, or before a run
    FAILED = "failed"
    NOTHING_TO_DO = "nothing_to_do"
    LOCKED = "locked"  # another run used the workspace


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one retraining.

    Attributes:
      status: How it ended.
      pipeline: Name of the pipeline, `PipelineConfig.name`.
      workspace: Absolute path of the workspace.
      started: UTC, ISO 8601.
      seconds: From when it had the workspace to its end.
      span: The newest span that it read, as in its folder's name; None without spans.
      data_fingerprint: Digest of all files that it read; None if they were not read.
      run_id: The run; None if none was started.
      trigger: Why it was started, in a few words, such as "schedule" or "recall fell".
      reasons: Why it ended so, one line each: of the blessing, the gate or the failure.
      failed_step: Id of the step that failed; None if none did.
      live_version: Version that is live at its end; None if there is none.
      previous_version: Version that was live before it; None if there was none.
      pushed_version: Version that its model became, live or the canary; None if it
        became none, and in records of earlier releases.
      warm_start: Version that training started from; None for a cold start.
      metrics: `candidate`, `baseline` and `popularity`, each metric -> value; None
        where there is none.
      steps: `id`, `state` and `seconds` of each step.
      rows: What became of the rating rows: see `RatingCounts`; empty if not read.
      drift: Feature -> distance to the live model's training data; empty if unknown.
      train_seconds: Time that training took; None if nothing was trained.
      peak_rss_mb: Peak resident memory, in MiB; None if no run was started.
      report: Path of the HTML report; None if there is none.
    """

    status: Status
    pipeline: str
    workspace: str
    started: str
    seconds: float
    span: str | None = None
    data_fingerprint: str | None = None
    run_id: str | None = None
    trigger: str = "command"
    reasons: Sequence[str] = ()
    failed_step: str | None = None
    live_version: str | None = None
    previous_version: str | None = None
    pushed_version: str | None = None
    warm_start: str | None = None
    metrics: Mapping[str, Mapping[str, float | None] | None] = dataclasses.field(
        default_factory=dict
    )
    steps: Sequence[Mapping[str, Any]] = ()
    rows: Mapping[str, int] = dataclasses.field(default_factory=dict)
    drift: Mapping[str, float] = dataclasses.field(default_factory=dict)
    train_seconds: float | None = None
    peak_rss_mb: float | None = None
    report: str | None = None
