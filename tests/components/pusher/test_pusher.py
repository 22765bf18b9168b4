"""RetrievalPusher with a real SavedModel and its warm-up requests."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx.types import artifact, artifact_utils, standard_artifacts
from tfx.utils import path_utils

from components.pusher.executor import Executor as Pusher
from components.pusher.executor import push_version
from components.servability_check.queries import read_queries
from components.servability_check.warmup import write_warmup
from components.serving_directory import STATISTICS_FILE, train_statistics
from tests.fixtures.example_rows import sound_rows, write_examples
from tests.fixtures.tiny_model import save_tiny_model
from trainer.features import SPLITS

Statistics = statistics_pb2.DatasetFeatureStatisticsList


@pytest.fixture(scope="module")
def blessing(tmp_path_factory: pytest.TempPathFactory) -> artifact.Artifact:
    """An infra blessing as ServabilityCheck leaves it."""
    folder = tmp_path_factory.mktemp("blessed")
    blessing = standard_artifacts.InfraBlessing()
    blessing.uri = str(folder / "blessing")
    blessing.set_int_custom_property("blessed", 1)
    blessing.set_int_custom_property("has_model", 1)
    path = path_utils.stamped_model_path(blessing.uri)
    save_tiny_model(path)
    examples = write_examples(folder / "examples", sound_rows())
    write_warmup(path, read_queries(examples, 3), k=5)
    return blessing


def _push(
    folder: Path, infra_blessing: artifact.Artifact, *, model_blessed: bool = True
) -> artifact.Artifact:
    """Runs the pusher's executor and returns the pushed model."""
    statistics = standard_artifacts.ExampleStatistics()
    statistics.uri = str(folder / "statistics")
    statistics.split_names = artifact_utils.encode_split_names(list(SPLITS))
    for split in SPLITS:
        (folder / "statistics" / f"Split-{split}").mkdir(parents=True)
        path = folder / "statistics" / f"Split-{split}" / "FeatureStats.pb"
        path.write_bytes(_statistics(split).SerializeToString())
    model_blessing = standard_artifacts.ModelBlessing()
    model_blessing.set_int_custom_property("blessed", int(model_blessed))
    pushed = standard_artifacts.PushedModel()
    pushed.uri = str(folder / "pushed")
    destination = {"filesystem": {"base_directory": str(folder.parent / "serving")}}
    Pusher().Do(
        {
            "model_blessing": [model_blessing],
            "infra_blessing": [infra_blessing],
            "statistics": [statistics],
        },
        {"pushed_model": [pushed]},
        {"push_destination": json.dumps(destination)},
    )
    return pushed


def test_two_pushes_within_a_second_are_two_complete_versions(
    tmp_path: Path, blessing: artifact.Artifact
) -> None:
    before = int(time.time())
    first, second = (_push(tmp_path / name, blessing) for name in ("a", "b"))
    versions = [
        int(pushed.get_string_custom_property("pushed_version"))
        for pushed in (first, second)
    ]
    assert before <= versions[0] < versions[1] <= time.time() + 1
    # Nothing but the versions is left, so nothing half-written either.
    serving = tmp_path / "serving"
    assert sorted(p.name for p in serving.iterdir()) == [str(v) for v in versions]
    for pushed in (first, second):
        path = Path(pushed.get_string_custom_property("pushed_destination"))
        source = Path(path_utils.stamped_model_path(blessing.uri))
        for copy in (path, Path(pushed.uri)):
            contents = _contents(copy)
            stored = contents.pop(STATISTICS_FILE)
            assert contents == _contents(source)
            assert Statistics.FromString(stored) == _statistics("train")
        assert train_statistics(str(path)) == _statistics("train")
        names = set(_contents(path))
        assert {"saved_model.pb", "variables/variables.index"} <= names
        assert "assets.extra/tf_serving_warmup_requests" in names
        assert (path / "assets").is_dir()


def _statistics(split: str) -> Statistics:
    """Statistics that differ between splits."""
    dataset = statistics_pb2.DatasetFeatureStatistics(name=split, num_examples=3)
    return Statistics(datasets=[dataset])


def _contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_version_from_the_future_is_exceeded(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "saved_model.pb").touch()
    serving = tmp_path / "serving"
    (serving / "9999999999").mkdir(parents=True)
    (serving / "notes").mkdir()
    assert Path(push_version(str(model), str(serving))).name == "10000000000"


def test_a_failed_copy_leaves_no_version(tmp_path: Path) -> None:
    serving = tmp_path / "serving"
    serving.mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OSError):
        push_version(str(tmp_path / "model"), str(serving))
    assert list(serving.iterdir()) == []


def test_what_is_not_blessed_is_not_pushed(
    tmp_path: Path, blessing: artifact.Artifact
) -> None:
    unservable = standard_artifacts.InfraBlessing()
    unservable.set_int_custom_property("blessed", 0)
    refused = [
        _push(tmp_path / "worse", blessing, model_blessed=False),
        _push(tmp_path / "unservable", unservable),
    ]
    assert [p.get_int_custom_property("pushed") for p in refused] == [0, 0]
    assert not (tmp_path / "serving").exists()
