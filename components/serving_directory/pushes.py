"""What Pusher records of each version, and of each model that it ever pushed."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

from components import storage
from components.serving_directory.layout import LEDGER, PUSH_FILE


@dataclasses.dataclass(frozen=True)
class Push:
    """What Pusher recorded about a version.

    Attributes:
      model_id: Identity of the model: see `trainer.model_identity`.
      replaced: Name of the version that was live; None if there was none.
      replaced_model_id: Identity of that; None if there was none.
      compared_with: Version whose statistics the data was compared with; None if there
        was none. It is an older one where the live model had the same data.
      pushed_at: UTC, ISO 8601.
      run_id: The run that pushed it; empty if not known.
    """

    model_id: str
    replaced: str | None
    replaced_model_id: str | None
    compared_with: str | None
    pushed_at: str
    run_id: str


def read_push(version_dir: str) -> Push | None:
    """Returns what Pusher recorded about a version; None if another program pushed it.

    A record that cannot be parsed counts as none.

    Raises:
      UserError: The version cannot be read.
    """
    return _parse(storage.read(os.path.join(version_dir, PUSH_FILE)))


def read_ledger(serving_dir: str, model_id: str) -> dict[str, Any] | None:
    """Returns the fields of the last `Push` of a model and its `version`.

    Raises:
      UserError: The record cannot be read.
    """
    content = storage.read(_ledger_path(serving_dir, model_id))
    if content is None:
        return None
    try:
        found = json.loads(content)
    except ValueError:
        found = {}
    # A damaged record still says that the model was pushed.
    return found if isinstance(found, dict) else {}


def write_ledger(serving_dir: str, version: str, push: Push) -> None:
    """Records that a model was pushed, so that it is known when it is gone."""
    content = {"version": version, **dataclasses.asdict(push)}
    path = _ledger_path(serving_dir, push.model_id)
    storage.write(path, json.dumps(content, indent=2).encode())


def _ledger_path(serving_dir: str, model_id: str) -> str:
    return os.path.join(serving_dir, LEDGER, f"{model_id}.json")


def _parse(content: bytes | None) -> Push | None:
    try:
        push = Push(**json.loads(content or b"null"))
    except (ValueError, TypeError):
        return None
    required = (push.model_id, push.pushed_at, push.run_id)
    optional = (push.replaced, push.replaced_model_id, push.compared_with)
    is_text = all(isinstance(value, str) for value in required) and all(
        value is None or isinstance(value, str) for value in optional
    )
    return push if is_text else None
