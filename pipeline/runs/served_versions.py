"""The versions in a serving directory, each with its labels and what is known of it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from components import storage
from components.serving_directory import (
    WITHDRAWN_PREFIX,
    missing_file,
    read_push,
    versions,
    withdrawn_versions,
)
from components.serving_directory.labels import Labels
from components.serving_directory.labels import read as read_labels
from pipeline.runs.run_record import RunRecord
from trainer.errors import UserError


@dataclasses.dataclass(frozen=True)
class ServedVersion:
    """A version and where it comes from.

    Attributes:
      version: Its name.
      labels: `stable` and `canary`, as far as it has them.
      state: `live`, `canary`, `served`, `withdrawn` or `not complete`.
      pinned: Whether pushes leave `stable` on it.
      blessed: Whether it was blessed; None if its run is not known.
      metrics: Metric -> value on its run's held-out events; empty if not known.
      spans: Spans that it was trained on; empty if not known.
      data: Format of its data; None if not known.
      size: Bytes of its files; None in an object store.
      pushed_at: ISO 8601; None if another program pushed it.
      run_id: The run that made it; None if not known.
      model_id: Its identity; None if another program pushed it.
    """

    version: str
    labels: Sequence[str]
    state: str
    pinned: bool
    blessed: bool | None
    metrics: Mapping[str, float | None]
    spans: Sequence[Any]
    data: str | None
    size: int | None
    pushed_at: str | None
    run_id: str | None
    model_id: str | None

    def age_seconds(self, now: datetime) -> float | None:
        """Returns how long ago it was pushed; None if nothing says so."""
        try:
            text = (self.pushed_at or "").replace("Z", "+00:00")
            pushed = datetime.fromisoformat(text)
            return (now - pushed).total_seconds()
        except (ValueError, TypeError):  # no time, or one without a zone
            return None


def served_versions(
    serving_dir: str, runs: Iterable[RunRecord]
) -> tuple[Labels, list[ServedVersion]]:
    """Returns the labels and all versions, those that were withdrawn too, by number.

    Args:
      serving_dir: The serving directory.
      runs: Those that may have made them.

    Raises:
      UserError: The directory cannot be read.
    """
    labels = read_labels(serving_dir)
    by_id = {run.run_id: run for run in runs}
    names = [(name, name) for name in versions(serving_dir)]
    hidden = [(n, f"{WITHDRAWN_PREFIX}{n}") for n in withdrawn_versions(serving_dir)]
    found = [
        _version(name, os.path.join(serving_dir, folder), labels, by_id)
        for name, folder in (*names, *hidden)
    ]
    return labels, sorted(found, key=lambda each: int(each.version))


def _version(
    name: str, folder: str, labels: Labels, runs: Mapping[str, RunRecord]
) -> ServedVersion:
    is_withdrawn = os.path.basename(folder) != name
    held = () if is_withdrawn else labels.of(name)
    push = read_push(folder)
    run = runs.get(push.run_id) if push else None
    evaluation = run.evaluation if run else {}
    spans, data = _data(run)
    return ServedVersion(
        name,
        held if labels.exist else (),
        _state(folder, is_withdrawn, held),
        pinned=labels.pinned and name == labels.stable and not is_withdrawn,
        blessed=evaluation.get("blessed"),
        metrics=evaluation.get("candidate") or {},
        spans=spans,
        data=data,
        size=_size(folder),
        pushed_at=push.pushed_at if push else None,
        run_id=(push.run_id or None) if push else None,
        model_id=push.model_id if push else None,
    )


def _state(folder: str, is_withdrawn: bool, labels: Sequence[str]) -> str:
    if is_withdrawn:
        return "withdrawn"
    if labels:
        return "live" if "stable" in labels else "canary"
    return "not complete" if missing_file(folder) else "served"


def _data(run: RunRecord | None) -> tuple[Sequence[Any], str | None]:
    try:
        found = run.data if run else {}
        return found.get("spans", []), found.get("format")
    except UserError:  # its record is damaged
        return [], None


def _size(folder: str) -> int | None:
    if not storage.is_local(folder):
        return None
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    return sum(path.stat().st_size for path in files)
