"""The folder of a rehearsal, and what is recorded in it.

```
workspace/rehearsals/<name>/
  rehearsal.json         what is replayed, what is done, and the result: see `Record`
  rehearsal.html         the result for people
  config.yaml            the configuration
  spans/                 the ratings, split by time; absent if the data has spans
  values/<span>.npz      what each user of a span contributes to the metrics
  serving/<model>/       live model of a policy and seed, such as `warm-1`
  work/                  ML Metadata and artifacts of the span that is trained on
```

A unit of work is the measurement of a span, or one training. Each is recorded when it
has ended, in one replacement of `rehearsal.json`; what a killed process had not
recorded is removed and done again. Of finished spans nothing is kept but values and the
models that are live.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from components.serving_directory import versions
from pipeline.config import PipelineConfig
from pipeline.retraining.prequential import Prequential
from trainer.atomic_files import write_bytes, write_json
from trainer.errors import UsageError, UserError

FORMAT: Final = 1
REHEARSALS: Final = "rehearsals"
WARM: Final = "warm"
COLD: Final = "cold"
NEVER: Final = "never"
# What a policy makes of each new span: training from the live model, or from nothing,
# or no training. All have the same first model.
POLICIES: Final = (WARM, COLD, NEVER)
_PACKAGES: Final = ("components", "trainer")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]*")


@dataclass(frozen=True)
class Key:
    """What a rehearsal is of. With another key it is another rehearsal.

    Attributes:
      data: Digest of the ratings.
      spans: How they are split, as in the option; empty if the data has spans.
      start: First day that is not part of the first span; empty to split all.
      seeds: Trainings of each policy and span.
      config: `PipelineConfig.computed()`.
      code: Digest of the sources that decide on a model and its value.
    """

    data: str
    spans: str
    start: str
    seeds: int
    config: Mapping[str, Any]
    code: str

    @classmethod
    def of(
        cls, config: PipelineConfig, *, data: str, spans: str, start: str, seeds: int
    ) -> Key:
        """Makes the key, of plain JSON values."""
        computed = json.loads(json.dumps(config.computed()))
        return cls(data, spans, start, seeds, computed, _code_digest())

    def difference(self, other: Mapping[str, Any]) -> str | None:
        """Names what differs from a key that was read from a file; None if nothing."""
        own = dataclasses.asdict(self)
        if own == other:
            return None
        for name in ("data", "spans", "start", "seeds"):
            if own[name] != other.get(name):
                found = "other ratings" if name == "data" else f"{name} {other[name]!r}"
                return f"with {found}"
        flat, flat_other = (dict(_flat(c["config"])) for c in (own, other))
        for name in {**flat, **flat_other}:
            if flat.get(name) != flat_other.get(name):
                return f"with {name} {flat_other.get(name)!r}, not {flat.get(name)!r}"
        return "by another version of the code"


@dataclass
class Record:
    """What was done: the content of `rehearsal.json`.

    Attributes:
      key: A `Key`.
      spans: Names of the spans, oldest first, as `data.last_span` has them.
      live: Model, such as `warm-1` -> its newest version.
      trained: Span -> model -> `train_seconds`, `step_seconds` and `start`.
      measured: Span -> `rankers`, `users`, `queries` and so on: see `note_measured`.
      seconds: Of the work so far, in all processes.
      result: See `pipeline.retraining.rehearsal.results`; empty until all is done.
    """

    key: dict[str, Any]
    spans: list[str]
    live: dict[str, str] = field(default_factory=dict)
    trained: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    measured: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: float = 0.0
    result: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def seeds(self) -> range:
        """Numbers of the trainings of a policy and span, from 1."""
        return range(1, self.key["seeds"] + 1)

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return all(map(self.is_finished, self.spans))

    def is_finished(self, span: str) -> bool:
        """Whether nothing is left to do for a span."""
        return not self.missing_trainings(span) and not self.is_unmeasured(span)

    def is_unmeasured(self, span: str) -> bool:
        """Whether models are to be measured on a span; on the first there are none."""
        return span != self.spans[0] and span not in self.measured

    def missing_trainings(self, span: str) -> list[tuple[str, int]]:
        """Policies and seeds that are to be trained on a span, in their order.

        On the first span that is one model for all policies, under the name of the
        policy that keeps it. On the last there is none, since nothing comes after it.
        """
        if span == self.spans[-1]:
            return []
        policies = (NEVER,) if span == self.spans[0] else (WARM, COLD)
        done = self.trained.get(span, {})
        return [
            (policy, seed)
            for policy in policies
            for seed in self.seeds
            if model_name(policy, seed) not in done
        ]


def model_name(policy: str, seed: int) -> str:
    """Name of what a policy trains with a seed."""
    return f"{policy}-{seed}"


@dataclass(frozen=True)
class RehearsalFolder:
    """Paths in the folder of a rehearsal."""

    path: Path

    @classmethod
    def named(cls, workspace: Path, name: str) -> RehearsalFolder:
        """Returns the folder of a rehearsal.

        Raises:
          UsageError: The name cannot be that of a folder.
        """
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"--name {name!r} is no name for a rehearsal",
                "Give small letters, digits, dots, dashes and underscores.",
            )
        return cls(workspace / REHEARSALS / name)

    @property
    def record_file(self) -> Path:
        """`rehearsal.json`."""
        return self.path / "rehearsal.json"

    @property
    def page(self) -> Path:
        """`rehearsal.html`."""
        return self.path / "rehearsal.html"

    @property
    def config(self) -> Path:
        """`config.yaml`."""
        return self.path / "config.yaml"

    @property
    def spans(self) -> Path:
        """Where ratings are split to."""
        return self.path / "spans"

    @property
    def work(self) -> Path:
        """What only the span that is trained on needs."""
        return self.path / "work"

    def serving_dir(self, model: str) -> Path:
        """Where the live model of a policy and seed is."""
        return self.path / "serving" / model

    def live_models(self, record: Record) -> dict[str, Path]:
        """Model -> folder of its live version."""
        return {
            model: self.serving_dir(model) / version
            for model, version in record.live.items()
        }

    def read(self) -> Record | None:
        """Reads the record; None if there is none.

        Raises:
          UserError: It is damaged.
        """
        try:
            content = json.loads(self.record_file.read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise ValueError(f"format {content['format']}")
            return Record(**content)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError, OSError) as error:
            raise UserError(
                f"{self.record_file} is damaged: {error}",
                f"Delete {self.path} to begin again, or give another --name.",
            ) from error

    def write(self, record: Record) -> None:
        """Replaces the record."""
        write_json(self.record_file, dataclasses.asdict(record))

    def discard_unrecorded(self, record: Record) -> None:
        """Removes versions that a killed process had pushed and not recorded."""
        serving = self.path / "serving"
        for folder in sorted(serving.iterdir()) if serving.is_dir() else ():
            for version in versions(str(folder)):
                if version != record.live.get(folder.name):
                    shutil.rmtree(folder / version)

    def keep_values(self, span: str, found: Prequential) -> None:
        """Writes what each user of a span contributes."""
        import io

        content = io.BytesIO()
        np.savez_compressed(
            content,
            user_ids=np.array([user.hex() for user in found.user_ids], np.str_),
            values=found.values.astype(np.float32),
        )
        path = self.path / "values" / f"{span}.npz"
        path.parent.mkdir(exist_ok=True)
        write_bytes(path, content.getvalue())

    def values(self, span: str) -> tuple[Any, Any]:
        """Reads user ids, `[users]`, and values, `[metrics, rankers, users]`."""
        with np.load(self.path / "values" / f"{span}.npz", allow_pickle=False) as file:
            return file["user_ids"], file["values"].astype(np.float64)


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _code_digest() -> str:
    digest = hashlib.blake2b(digest_size=8)
    root = Path(__file__).resolve().parents[3]
    for package in _PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            digest.update(f"{path.relative_to(root)}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
