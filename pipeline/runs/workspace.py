"""The workspace: one folder with everything that local runs write.

```
workspace/
  workspace.json       {"format": 1}
  metadata.sqlite      ML Metadata
  artifacts/           pipeline root of TFX
  serving/<version>/   pushed models
  data/<dataset>/      fetched MovieLens files
  runs/<run_id>/       run.log, events.jsonl, summary.json, config.yaml, record.json
  runs/latest          -> the newest run
  retrainings.jsonl    outcome of each retraining
  server.json          where a model server of this workspace listens
```
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from components.serving_directory import complete_versions, missing_file
from components.serving_directory import versions as all_versions
from components.serving_directory.labels import read as read_labels
from pipeline.runs.paths import check_path
from pipeline.runs.workspace_lock import LOCK_FILE, Report, locked
from trainer.atomic_files import PART_PREFIX, write_json, write_link, write_text
from trainer.errors import UserError

DEFAULT_ROOT: Final = Path("workspace")
ENV_VAR: Final = "TWO_TOWER_WORKSPACE"
FORMAT: Final = 1
_MARKER: Final = "workspace.json"
_NAMES: Final = frozenset(
    {_MARKER, LOCK_FILE, "metadata.sqlite", "artifacts", "serving", "data", "runs"}
    | {"retrainings.jsonl", "rehearsals", "server.json"}
    # of a file system that is mounted there
    | {"lost+found"}
)
_OTHER_FOLDER: Final = "Choose another folder with --workspace."
_RUN_FIRST: Final = "Run `two-tower run` first, or name its folder with --workspace."


@dataclass(frozen=True)
class RunFiles:
    """The files of one run.

    Attributes:
      path: Folder of the run.
    """

    path: Path

    @property
    def run_id(self) -> str:
        """UTC start time; a wrong clock makes a wrong one, so it gives no order."""
        return self.path.name

    @property
    def log(self) -> Path:
        """The output of TFX, Beam and TensorFlow."""
        return self.path / "run.log"

    @property
    def events(self) -> Path:
        """Progress events, one JSON object a line; see `trainer.progress`."""
        return self.path / "events.jsonl"

    @property
    def summary(self) -> Path:
        """The outcome; see `pipeline.runs.summary`."""
        return self.path / "summary.json"

    @property
    def config(self) -> Path:
        """The whole configuration that the run used."""
        return self.path / "config.yaml"

    @property
    def record(self) -> Path:
        """What the run was judged by; see `pipeline.runs.run_record`."""
        return self.path / "record.json"

    def keep_record(self, content: Mapping[str, Any]) -> None:
        """Writes what the run was judged by, unless nothing is or it is there."""
        if content and not self.record.exists():
            self.path.mkdir(parents=True, exist_ok=True)
            write_text(self.record, json.dumps(content, indent=2) + "\n")

    def unneeded(self) -> list[Path]:
        """What may go when the run is old: all but what it was and how it ended."""
        kept = {self.summary, self.config, self.record}
        return sorted(path for path in self.path.iterdir() if path not in kept)

    def publish(self) -> None:
        """Points `runs/latest` to the run, atomically."""
        write_link(self.path.with_name("latest"), self.run_id)


@dataclass(frozen=True)
class Workspace:
    """Paths inside a workspace folder. Make one with `Workspace.open`."""

    root: Path

    @classmethod
    def open(cls, root: Path, *, create: bool = False) -> Workspace:
        """Checks a workspace folder.

        Args:
          root: The folder.
          create: Create it if it is absent, and check that it can be written.

        Raises:
          UserError: It is absent, not a folder, of another format, holds other files or
            cannot be written.
        """
        workspace = cls(Path(os.path.abspath(root)))
        if create:
            check_path(workspace.root, "--workspace")
            _create(workspace.root)
        elif not workspace.root.is_dir():
            raise UserError(f"There is no workspace at {workspace.root}", _RUN_FIRST)
        _check_format(workspace.root)
        return workspace

    @property
    def metadata_db(self) -> Path:
        """SQLite file of ML Metadata."""
        return self.root / "metadata.sqlite"

    @property
    def pipeline_root(self) -> Path:
        """Where TFX writes artifacts."""
        return self.root / "artifacts"

    @property
    def serving_dir(self) -> Path:
        """Pushed models, one folder a version."""
        return self.root / "serving"

    @property
    def runs_dir(self) -> Path:
        """One folder a run."""
        return self.root / "runs"

    @property
    def data_dir(self) -> Path:
        """Fetched files, one folder an edition."""
        return self.root / "data"

    def live_model(self) -> Path:
        """Folder of the model that is live.

        Raises:
          UserError: No model was pushed yet, or none is complete.
        """
        live = read_labels(str(self.serving_dir)).stable
        if live is not None:
            return self.serving_dir / live
        if names := all_versions(str(self.serving_dir)):
            folder = self.serving_dir / names[-1]
            raise UserError(
                f"The newest model {folder} has no complete {missing_file(str(folder))}"
                ", and there is no other",
                "Wait until it has been copied, or remove it if it is damaged.",
            )
        raise UserError(
            f"No model was pushed to {self.serving_dir} yet",
            "Run `two-tower run` first; if it was not blessed, its summary says why.",
        )

    def versions(self) -> list[Path]:
        """Folders of the pushed models that are complete, oldest first.

        Raises:
          UserError: The serving directory cannot be read.
        """
        names = complete_versions(str(self.serving_dir))
        return [self.serving_dir / name for name in names]

    def run_folders(self) -> list[RunFiles]:
        """The files of each run, by id."""
        folders = self.runs_dir.iterdir() if self.runs_dir.is_dir() else ()
        return [
            RunFiles(folder)
            for folder in sorted(folders)
            if folder.is_dir() and not folder.is_symlink()
        ]

    def new_run(self) -> RunFiles:
        """Makes the folder of a new run."""
        self.runs_dir.mkdir(exist_ok=True)
        while True:
            now = datetime.datetime.now(datetime.timezone.utc)
            folder = self.runs_dir / now.strftime("%Y%m%dT%H%M%S.%fZ")
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
                return RunFiles(folder)

    def lock(
        self, *, wait: float = 0, report: Report | None = None
    ) -> AbstractContextManager[int]:
        """Holds the workspace for one command: see `workspace_lock.locked`."""
        return locked(self.root, wait=wait, report=report)


def _create(root: Path) -> None:
    """Makes a folder a workspace if it is not one, and checks that it can be written.

    Raises:
      UserError: It is a file, holds other files or cannot be written.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        if _is_blank(root / _MARKER):
            foreign = sorted(path.name for path in root.iterdir() if _is_foreign(path))
            if foreign:
                raise UserError(
                    f"{root} is not a workspace: it holds other files, such as "
                    f"{foreign[0]}, and no {_MARKER}",
                    "Choose an empty or a new folder with --workspace.",
                )
            write_json(root / _MARKER, {"format": FORMAT})
        with tempfile.TemporaryFile(dir=root):
            pass  # only writing detects a read-only mount
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise  # that is explained where the run begins
        raise UserError(
            f"The workspace {root} cannot be written: {error.strerror}",
            f"Make it writable. {_OTHER_FOLDER}",
        ) from error


def _is_foreign(path: Path) -> bool:
    """Whether a file is none of a workspace's, nor a part of one that was killed."""
    leftovers = (PART_PREFIX, _MARKER, f".{_MARKER}")
    return path.name not in _NAMES and not path.name.startswith(leftovers)


def _is_blank(marker: Path) -> bool:
    """Whether there is no marker, or none of its content was saved in a power cut."""
    try:
        return not marker.read_bytes().strip(b"\0 \n")
    except FileNotFoundError:
        return True


def _check_format(root: Path) -> None:
    """Raises `UserError` if a folder is not a workspace of this format."""
    marker = root / _MARKER
    try:
        text = marker.read_text(encoding="utf-8").strip("\0 \n")
        found = json.loads(text)["format"] if text else FORMAT
    except FileNotFoundError as error:
        message = f"{root} is not a workspace: it has no {_MARKER}"
        raise UserError(message, _RUN_FIRST) from error
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise UserError(
            f'{marker} is damaged: it must contain {{"format": {FORMAT}}}',
            f"Write that to the file. {_OTHER_FOLDER}",
        ) from error
    if found != FORMAT:
        raise UserError(
            f"The workspace {root} has format {found}, but this version "
            f"reads format {FORMAT}",
            "Choose another folder with --workspace, or use the version of "
            "two-tower that made it.",
        )
