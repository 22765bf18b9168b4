"""What is served now of the models that runs pushed: the present, not what was."""

from __future__ import annotations

import os
from dataclasses import dataclass

from components.pusher import MODEL_ID, PUSHED_VERSION
from components.serving_directory import (
    complete_versions,
    missing_file,
    read_ledger,
    read_push,
    versions,
    withdrawn_versions,
)
from components.serving_directory.labels import read as read_labels
from pipeline.runs.run_record import RunRecord


@dataclass(frozen=True)
class Outcome:
    """What became of the model of a run.

    Attributes:
      version: The version under which it is served now; None if it is not.
      pushed: The version under which it was pushed; None if it was not.
      is_live: Whether that is the live version.
      awaits_approval: Whether it waits for `two-tower approve`, and was compared with
        what is live.
      is_withdrawn: Whether a rollback withdrew it, so that it can be restored.
      text: All of it in a few words.
    """

    version: str | None
    pushed: str | None
    is_live: bool
    text: str
    is_withdrawn: bool = False
    awaits_approval: bool = False


class ServedModels:
    """The versions in a serving directory, as they are when this object is made.

    Attributes:
      live: The version that is live; None if there is none.
      canary: The version that is tried beside it; None if there is none.
      incomplete: Newer versions that are not complete -> a file that they lack.
    """

    def __init__(self, serving_dir: str) -> None:
        """Reads the directory.

        Raises:
          UserError: It cannot be read.
        """
        self._serving_dir = serving_dir
        self._versions = complete_versions(serving_dir)
        self.incomplete = {
            name: file
            for name in versions(serving_dir)
            if not self._versions or int(name) > int(self._versions[-1])
            if (file := missing_file(self.folder(name)))
        }
        self._withdrawn = withdrawn_versions(serving_dir)
        labels = read_labels(serving_dir)
        self.live, self.canary = labels.stable, labels.canary
        found = ((name, read_push(self.folder(name))) for name in self._versions)
        self._by_model = {push.model_id: name for name, push in found if push}

    def folder(self, version: str) -> str:
        """Folder of a version."""
        return os.path.join(self._serving_dir, version)

    def state(self, version: str) -> str:
        """Returns what a version is now, in a few words."""
        if version == self.live:
            return "live"
        if version == self.canary:
            return "the canary"
        if version in self._versions:
            return "served, but not live"
        if version in self.incomplete:
            return "not complete"
        return "withdrawn" if version in self._withdrawn else "removed"

    def outcome(self, run: RunRecord) -> Outcome:
        """Returns what became of the model of a run."""
        output = run.output("pushed_model")
        properties = output.properties if output else {}
        model_id = properties.get(MODEL_ID)
        pushed = properties.get(PUSHED_VERSION)
        version = self._by_model.get(model_id) if model_id else None
        if version is None and not model_id and pushed in self._versions:
            version = pushed  # by an older Pusher, which recorded no identity
        if version is not None:
            is_live = version == self.live
            text = f"pushed as version {version}"
            text += self._live(version)
            return Outcome(version, version, is_live, text)
        if model_id and (entry := read_ledger(self._serving_dir, model_id)):
            pushed = entry.get("version", pushed)
        if output and run.awaits_approval:
            return self._waiting(run, output.uri)
        if pushed is None:
            text = f"no model was pushed{self._live()}"
            return Outcome(None, None, False, text)
        is_withdrawn = pushed in self._withdrawn
        became = "was withdrawn" if is_withdrawn else "is gone"
        remedy = (
            f"`two-tower rollback --restore {pushed}` puts it back"
            if is_withdrawn
            else "`two-tower run --push-again` pushes it again"
        )
        text = (
            f"not pushed again: it was pushed as version {pushed}, which {became}"
            f"{self._live()}. {remedy}"
        )
        return Outcome(None, pushed, False, text, is_withdrawn=is_withdrawn)

    def _waiting(self, run: RunRecord, folder: str) -> Outcome:
        """Returns the outcome of a model that was left for approval."""
        push = read_push(folder)
        if push is not None and push.replaced == self.live:
            text = f"awaiting approval: `two-tower approve {run.run_id}` pushes it"
            return Outcome(None, None, False, text, awaits_approval=True)
        text = f"not approved before another model was live{self._live()}"
        return Outcome(None, None, False, text)

    def _live(self, version: str | None = None) -> str:
        if self.live is None:
            return "; nothing is live"
        if self.live == version:
            return ", which is live"
        if version is not None and self.canary == version:
            text = f", which is the canary; version {self.live} is live"
            return f"{text}. `two-tower promote` makes it live"
        return f"; version {self.live} is live"
