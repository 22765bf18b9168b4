"""Which spans were trained on: read from the records, and remembered nowhere else.

The outcomes of retrainings say it. A workspace in which there is none yet may have runs
of `two-tower run`: then it is ML Metadata that says it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Final

from pipeline.retraining.outcome import Outcome, Status
from pipeline.retraining.spans import Spans
from pipeline.runs.metadata_store import MetadataStoreReader, NoRunError
from pipeline.runs.workspace import Workspace
from trainer.errors import UserError

_TRAINED: Final = frozenset(
    {Status.PUSHED, Status.AWAITING_APPROVAL, Status.NOT_BLESSED, Status.NOTHING_TO_DO}
)


def is_trained(outcome: Outcome) -> bool:
    """Returns whether a run came to its end on the span of an outcome."""
    return outcome.status in _TRAINED and outcome.run_id is not None


def newest_trained(
    outcomes: Sequence[Outcome], workspace: Workspace, spans: Spans
) -> int | None:
    """Returns the newest span that a run was trained on; None if there is none.

    Args:
      outcomes: Of all retrainings in the workspace.
      workspace: The workspace.
      spans: The spans that there are, to understand their names.

    Raises:
      UserError: ML Metadata cannot be read.
    """
    names = [outcome.span for outcome in outcomes if is_trained(outcome)]
    if not names:
        return max(_spans_of_runs(workspace), default=None)
    # Of spans that are numbered otherwise, as after another pattern, none counts.
    numbers = map(spans.number_of_name, names)
    return max((n for n in numbers if n is not None), default=None)


def trained_before(outcomes: Sequence[Outcome], span: str | None) -> Outcome | None:
    """Returns the newest outcome of a run on a span; None if there is none."""
    found = [o for o in outcomes if is_trained(o) and o.span == span]
    return found[-1] if found else None


def _spans_of_runs(workspace: Workspace) -> Iterator[int]:
    try:
        runs = MetadataStoreReader.open(workspace.root).runs()
    except NoRunError:
        return
    for run in runs:
        if run.state in ("succeeded", "cleaned"):
            with contextlib.suppress(UserError):  # a damaged record
                yield from run.data.get("spans", [])[-1:]
