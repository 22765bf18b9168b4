"""Which models that waited for approval were approved since."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline.retraining.outcome import Outcome, Status


def approved_versions(audit: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Returns the id of each run whose model was approved -> the version it became.

    Args:
      audit: Lines, from `components.serving_directory.audit.read`.
    """
    found = {}
    for line in audit:
        versions = line.get("versions") or []
        if line.get("action") == "approve" and line.get("run_id") and versions:
            found[str(line["run_id"])] = str(versions[-1])
    return found


def with_approvals(
    outcomes: Sequence[Outcome], approved: Mapping[str, str]
) -> list[Outcome]:
    """Returns outcomes in which an approved model counts as pushed.

    Args:
      outcomes: As they were recorded.
      approved: From `approved_versions`.
    """
    return [
        dataclasses.replace(
            outcome, status=Status.PUSHED, pushed_version=approved[outcome.run_id or ""]
        )
        if outcome.status is Status.AWAITING_APPROVAL and outcome.run_id in approved
        else outcome
        for outcome in outcomes
    ]
