"""What a retraining is asked for, and where it shows what it does."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.config import PipelineConfig
from pipeline.local.run_view import RunView
from pipeline.retraining.outcome import Outcome
from pipeline.retraining.spans import Wanted
from pipeline.runs.summary import Summary
from pipeline.runs.workspace import RunFiles


@dataclass(frozen=True)
class Request:
    """What a command asks for.

    Attributes:
      config: The configuration.
      workspace: Folder of the workspace, created if it is absent.
      data_dir: Folder with the MovieLens files or their spans; None for the edition in
        the workspace.
      wanted: The spans.
      wait: Seconds to wait for another command that uses the workspace.
      no_cache: Run every step, also those whose inputs did not change.
      if_needed: Retrain only if there is a reason: see `triggers`.
      trigger: Why this was started, in a few words.
      moment: When it was started, with a time zone.
    """

    config: PipelineConfig
    workspace: Path
    data_dir: Path | None
    wanted: Wanted
    wait: float = 0
    no_cache: bool = False
    if_needed: bool = False
    trigger: str = "command"
    moment: datetime.datetime = field(
        default_factory=lambda: datetime.datetime.now(datetime.timezone.utc)
    )


class Display:
    """Shows what a retraining does; this one shows nothing but the runs."""

    def __init__(self, view: Callable[[], RunView]) -> None:
        """Makes a view for each run with `view`."""
        self.view = view

    def note(self, text: str) -> None:
        """Shows a line about what is going on."""

    def warn(self, text: str) -> None:
        """Shows that something failed which fails no retraining."""

    def ended(
        self, outcome: Outcome, summary: Summary | None, files: RunFiles | None
    ) -> None:
        """Shows an outcome and, if there was one, the run."""
