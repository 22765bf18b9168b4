"""A folder of a shared volume: what a step and the pods of its workers exchange.

Its name follows from the inputs, so that a step that is tried again finds the
checkpoint of the try before, or the model.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any, Final

from trainer.progress import Event
from trainer.workers.arguments import as_mapping, write_arguments

_ARGUMENTS: Final = "arguments.json"
_OUTPUTS: Final = ("serving_model_dir", "model_run_dir")
_EVENTS: Final = "events-{}.jsonl"


class Stage:
    """The files of one training.

    Attributes:
      folder: The folder.
      key: Its name: 16 hexadecimal digits.
    """

    def __init__(self, parent: Path, fn_args: Any) -> None:
        """Writes nothing yet.

        Args:
          parent: Folder of the stages of all trainings.
          fn_args: TFX's `FnArgs`, with paths of this machine.
        """
        self._given = as_mapping(fn_args)
        inputs = {k: v for k, v in self._given.items() if k not in _OUTPUTS}
        text = json.dumps(inputs, sort_keys=True)
        self.key = hashlib.sha256(text.encode()).hexdigest()[:16]
        self.folder = parent / self.key
        self._outputs = {
            # As TFX names them: checkpoints are beside the folders of executions.
            "serving_model_dir": self.folder / "Trainer" / "model" / "1",
            "model_run_dir": self.folder / "Trainer" / "model_run" / "1",
        }

    @property
    def arguments(self) -> Path:
        """The file of the workers' arguments."""
        return self.folder / _ARGUMENTS

    def fill(self) -> None:
        """Copies the inputs, unless an earlier try has, and writes the arguments.

        Raises:
          OSError: The volume cannot be written.
        """
        inputs = self.folder / "inputs"
        arguments: dict[str, Any] = {**self._given, **self._outputs}
        unfinished = self.folder / "inputs.unfinished"
        if not inputs.exists():
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
        for name in ("transform_graph_path", "base_model"):
            if path := self._given[name]:
                arguments[name] = str(inputs / name)
                if unfinished.exists() and os.path.isdir(path):
                    shutil.copytree(path, unfinished / name)
        for name in ("train_files", "eval_files"):
            patterns = []
            for index, pattern in enumerate(self._given[name]):
                split, files = os.path.split(pattern)
                # The last folder names the split.
                place = Path(name, str(index), os.path.basename(split))
                patterns.append(str(inputs / place / files))
                if unfinished.exists():
                    shutil.copytree(split, unfinished / place)
            arguments[name] = patterns
        if unfinished.exists():
            unfinished.rename(inputs)
        for name, path in self._outputs.items():
            arguments[name] = str(path)
        self._outputs["model_run_dir"].mkdir(parents=True, exist_ok=True)
        write_arguments(arguments, self.arguments)

    def has_model(self) -> bool:
        """Returns whether an earlier try has exported the model."""
        return self._outputs["serving_model_dir"].exists()

    def failure(self) -> Event | None:
        """Returns the event of a worker that ended with a `UserError`, if any."""
        for path in sorted(self.folder.glob(_EVENTS.format("*"))):
            for line in path.read_text(encoding="utf-8").splitlines():
                event: Event = json.loads(line)
                if event["kind"] == "error" and event["remedy"]:
                    return event
        return None

    def collect(self) -> None:
        """Copies model and logs to where TFX expects them, and removes the folder.

        Raises:
          OSError: A file is missing or cannot be written.
        """
        for name, path in self._outputs.items():
            shutil.copytree(path, self._given[name], dirs_exist_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def events_file(arguments: Path, worker: int) -> Path:
    """Returns where a worker writes its events: beside its arguments."""
    return arguments.with_name(_EVENTS.format(worker))
