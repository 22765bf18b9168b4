"""The split of one protocol on this disk: made once, by the pipeline's own steps."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import NamedTuple

from benchmarks.quality.protocols import Protocol
from benchmarks.quality.worker import run_worker
from pipeline.config import PipelineConfig
from pipeline.config.loading import load
from pipeline.datasets.source import resolve
from pipeline.fingerprints import Sources
from pipeline.runs.workspace import Workspace

# Of the steps that make it.
_MODULES = (
    "components.movielens_example_gen.component",
    "components.schema_importer.component",
    "trainer.preprocessing",
)


class Prepared(NamedTuple):
    """Folder of what the pipeline made, and the arrays that the peers read."""

    folder: Path

    @property
    def split(self) -> Path:
        """File of `split.Split`: written last, so that all is there if it is."""
        return self.folder / "split.npz"

    def artifact(self, step: str, output: str) -> Path:
        """The newest artifact of a step."""
        artifacts = (self.folder / "artifacts" / step / output).iterdir()
        return max(artifacts, key=lambda path: int(path.name))

    @property
    def examples(self) -> Path:
        """Examples of MovieLensExampleGen."""
        return self.artifact("MovieLensExampleGen", "examples")

    @property
    def transformed(self) -> Path:
        """Transformed Examples."""
        return self.artifact("Transform", "transformed_examples")

    @property
    def transform_graph(self) -> Path:
        """The Transform graph."""
        return self.artifact("Transform", "transform_graph")


def configuration(protocol: Protocol, *assignments: str) -> PipelineConfig:
    """The pipeline's configuration for a protocol, with more assignments."""
    presets = [Path(protocol.preset)] if protocol.preset else []
    return load(presets, [f"data.dataset={protocol.dataset}", *assignments])


def prepare(
    protocol: Protocol, workspace: Workspace, data_dir: Path | None
) -> Prepared:
    """Runs MovieLensExampleGen to Transform, unless that was done before.

    Args:
      protocol: What is measured.
      workspace: Where it is kept; fetched editions too.
      data_dir: Folder with the edition's files; None to fetch them.
    """
    config = configuration(protocol)
    source = resolve(config.data, workspace, data_dir, report=print)
    code = Sources().fingerprint(_MODULES)
    content = repr((config.data, config.model.title_tokens, source.fingerprint, code))
    digest = hashlib.sha256((content + _own_code()).encode()).hexdigest()[:12]
    folder = workspace.root / "benchmarks" / protocol.name / digest
    prepared = Prepared(folder)
    if not prepared.split.exists():
        work = {
            "protocol": protocol.name,
            "input_base": str(source.folder),
            "content_fingerprint": source.fingerprint,
            "folder": str(folder),
        }
        run_worker(sys.executable, "benchmarks.quality.prepare", work)
    return prepared


def _own_code() -> str:
    """What makes the arrays of the Examples."""
    here = Path(__file__).parent
    return json.dumps(
        [(here / name).read_text() for name in ("prepare.py", "split.py")]
    )
