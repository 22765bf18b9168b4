# TFX reads the annotations of these functions, so they must not be postponed.
"""What is live decides what runs again, on real TFX and ML Metadata."""

import shutil
from pathlib import Path

import pytest
from tfx.dsl.component.experimental.annotations import (
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration.pipeline import Pipeline
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import path_utils

from components.live_model import VERSION
from components.live_model.component import LiveModel
from components.pusher import PUSHED, PUSHED_VERSION
from components.pusher.component import RetrievalPusher
from components.serving_directory import complete_versions
from components.serving_directory.promotion import promote
from components.serving_directory.withdrawal import restore, roll_back
from pipeline.local import progress_runner
from pipeline.runs.metadata_store import MetadataStoreReader
from pipeline.runs.run_record import RunRecord
from pipeline.runs.served_models import ServedModels
from pipeline.runs.workspace import Workspace
from tests.fixtures.served_versions import graph, make_model
from tests.fixtures.toy_pipeline import make_pipeline

pytestmark = pytest.mark.slow  # runs pipelines


@component
def Candidate(
    content: Parameter[str],
    model: OutputArtifact[standard_artifacts.Model],
    statistics: OutputArtifact[standard_artifacts.ExampleStatistics],
) -> None:
    """Trains nothing."""
    make_model(Path(path_utils.serving_model_dir(model.uri)), content)
    statistics.split_names = artifact_utils.encode_split_names(["train"])
    folder = Path(statistics.uri) / "Split-train"
    folder.mkdir(parents=True)
    (folder / "FeatureStats.pb").write_bytes(b"")


@component
def Judge(
    model: InputArtifact[standard_artifacts.Model],
    live: InputArtifact[standard_artifacts.Model],
    blessing: OutputArtifact[standard_artifacts.ModelBlessing],
    infra_blessing: OutputArtifact[standard_artifacts.InfraBlessing],
) -> None:
    """Blesses everything."""
    blessing.set_int_custom_property("blessed", 1)
    infra_blessing.set_int_custom_property("blessed", 1)
    infra_blessing.set_int_custom_property("has_model", 1)
    target = path_utils.stamped_model_path(infra_blessing.uri)
    shutil.copytree(path_utils.serving_model_path(model.uri), target)


def _pipeline(folder: Path, content: str, push_again: str) -> Pipeline:
    candidate = Candidate(content=content)
    model = candidate.outputs["model"]
    live = LiveModel(candidate=model, serving_dir=str(folder / "serving"))
    judge = Judge(model=model, live=live.outputs["model"])
    pusher = RetrievalPusher(
        model_blessing=judge.outputs["blessing"],
        infra_blessing=judge.outputs["infra_blessing"],
        statistics=candidate.outputs["statistics"],
        live_model=live.outputs["model"],
        push_destination=str(folder / "serving"),
        push_again=push_again,
    )
    return make_pipeline(folder, [candidate, live, judge, pusher])


class Runs:
    """Runs of the pipeline in one folder."""

    def __init__(self, folder: Path) -> None:
        self.workspace = Workspace.open(folder, create=True)
        self._count = 0

    def run(self, content: str, *, again: bool = False) -> RunRecord:
        self._count += 1
        name = f"run {self._count}"
        pipeline = _pipeline(self.workspace.root, content, name if again else "")
        progress_runner.ProgressDagRunner(name).run(pipeline)
        return MetadataStoreReader.open(self.workspace.root).run("latest")

    @property
    def versions(self) -> list[str]:
        return complete_versions(str(self.workspace.serving_dir))

    def version(self, name: str) -> Path:
        return self.workspace.serving_dir / name


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path / "workspace")


def ran(record: RunRecord) -> set[str]:
    return {step.id for step in record.steps.values() if step.state == "done"}


def live_version(record: RunRecord) -> str:
    return str(record.steps["LiveModel"].outputs["model"].properties[VERSION])


ALL = {"Candidate", "LiveModel", "Judge", "Pusher"}


def test_what_is_live_decides_what_runs_again(runs: Runs) -> None:
    # The first push, from which nothing was live: nothing runs again.
    assert ran(runs.run("first")) == ALL
    assert ran(runs.run("first")) == set()
    [one] = runs.versions
    # Another candidate replaces it: nothing runs again either.
    second = runs.run("second")
    assert (ran(second), live_version(second)) == (ALL, one)
    assert ran(runs.run("second")) == set()
    two = runs.versions[-1]
    # Somebody else's model is live, in two versions, is replaced in place, and goes.
    bad = make_model(runs.version("9000000000"), "bad")
    promote(str(runs.workspace.serving_dir), bad.name)
    record = runs.run("second")
    assert live_version(record) == "9000000000"
    bad.rename(runs.version("9000000001"))
    assert live_version(runs.run("second")) == "9000000001"
    (runs.version("9000000001") / "saved_model.pb").write_bytes(graph("saver_filename"))
    assert {"LiveModel", "Judge"} <= ran(runs.run("second"))
    shutil.rmtree(runs.version("9000000001"))
    record = runs.run("second")
    assert (ran(record), live_version(record)) == (set(), one)
    # A rollback stays, and the older model is not pushed again either.
    serving_dir = str(runs.workspace.serving_dir)
    assert roll_back(serving_dir).live == one
    for _ in range(2):
        assert ran(runs.run("second")) == set()
    assert runs.versions == [one]
    # It is restored.
    restore(serving_dir, two)
    assert ran(runs.run("second")) == set()
    # The served folder is emptied: nothing is live, and nothing is pushed.
    for version in runs.versions:
        shutil.rmtree(runs.version(version))
    record = runs.run("second")
    assert ran(record) == {"LiveModel", "Judge", "Pusher"}
    assert live_version(record) == "" and runs.versions == []
    pushed = record.output("pushed_model")
    assert pushed and pushed.properties[PUSHED] == 0
    text = ServedModels(str(runs.workspace.serving_dir)).outcome(record).text
    assert f"pushed as version {two}, which is gone; nothing is live" in text
    # On request it is, once, and a new candidate needs no request.
    assert "Pusher" in ran(runs.run("second", again=True))
    [three] = runs.versions
    assert "Pusher" in ran(runs.run("second", again=True))
    assert runs.versions == [three]
    assert ran(runs.run("second")) == set()
    assert live_version(runs.run("third")) == three
    assert runs.versions[0] == three and len(runs.versions) == 2


def test_a_run_that_was_killed_after_its_push_does_not_push_a_second_time(
    runs: Runs,
) -> None:
    """Between the rename and ML Metadata, which then knows of no push."""
    record = runs.run("first")
    [version] = runs.versions
    pushed = record.output("pushed_model")
    assert pushed
    shutil.rmtree(pushed.uri)  # so that TFX does not take it from the cache
    record = runs.run("first")
    assert ran(record) == {"Pusher"}
    again = record.output("pushed_model")
    assert again and again.properties[PUSHED_VERSION] == version
    assert runs.versions == [version]


def test_a_serving_directory_that_cannot_be_read_ends_the_run_every_time(
    runs: Runs,
) -> None:
    runs.run("first")
    serving = runs.workspace.serving_dir
    serving.rename(runs.workspace.root / "data")
    serving.write_text("")
    for _ in range(2):
        with pytest.raises(Exception, match="Not a directory"):
            runs.run("first")
        record = MetadataStoreReader.open(runs.workspace.root).run("latest")
        assert record.state == "failed"
    serving.unlink()
    (runs.workspace.root / "data").rename(serving)
    assert ran(runs.run("first")) == set()
