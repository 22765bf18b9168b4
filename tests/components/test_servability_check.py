"""ServabilityCheck and the push of what it blessed, on a real SavedModel."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2
from tfx.types import artifact, standard_artifacts
from tfx.utils import path_utils

from components.pusher.executor import Executor as Pusher
from components.pusher.executor import push_version
from components.servability_check.executor import Executor as ServabilityCheck
from components.servability_check.probe.checks import probe
from components.servability_check.queries import read_corpus, read_queries
from pipeline.config import ServingConfig
from tests.fixtures.example_rows import sound_rows, write_examples
from tests.fixtures.tiny_model import Fault, save_tiny_model

_NUM_WARMUP = 5


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> artifact.Artifact:
    return write_examples(tmp_path_factory.mktemp("data") / "examples", sound_rows())


@pytest.fixture(scope="module")
def requests(examples: artifact.Artifact) -> dict[str, Any]:
    users = [dataclasses.asdict(query) for query in read_queries(examples, 32)]
    corpus = read_corpus(examples)
    return {"users": users, "corpus": corpus, "max_latency_ms": None}


def _check(
    folder: Path, examples: artifact.Artifact, fault: Fault = ""
) -> artifact.Artifact:
    """Runs the executor on a tiny model and returns the blessing."""
    model = standard_artifacts.Model()
    model.uri = str(folder / "model")
    save_tiny_model(path_utils.serving_model_dir(model.uri), fault)
    blessing = standard_artifacts.InfraBlessing()
    blessing.uri = str(folder / "blessing")
    Path(blessing.uri).mkdir()
    serving = ServingConfig(warmup_requests=_NUM_WARMUP, max_latency_ms=10_000)
    ServabilityCheck().Do(
        {"model": [model], "examples": [examples]},
        {"blessing": [blessing]},
        {"serving": json.dumps(dataclasses.asdict(serving))},
    )
    return blessing


@pytest.fixture(scope="module")
def blessing(
    tmp_path_factory: pytest.TempPathFactory, examples: artifact.Artifact
) -> artifact.Artifact:
    """The blessing of a sound model."""
    return _check(tmp_path_factory.mktemp("sound"), examples)


def test_a_sound_model_is_blessed_as_infra_validator_would(
    blessing: artifact.Artifact,
) -> None:
    report = json.loads(Path(blessing.uri, "servability.json").read_text())
    assert report["reasons"] == []
    assert 0 < report["median_latency_ms"] < 1000
    assert blessing.get_int_custom_property("blessed") == 1
    assert blessing.get_int_custom_property("has_model") == 1
    assert blessing.get_string_custom_property("reasons") == "[]"
    assert Path(blessing.uri, "INFRA_BLESSED").exists()


def test_warm_up_requests_can_be_replayed(blessing: artifact.Artifact) -> None:
    path = path_utils.stamped_model_path(blessing.uri)
    model = tf.saved_model.load(path)
    records = list(
        tf.data.TFRecordDataset(path_utils.warmup_file_path(path)).as_numpy_iterator()
    )
    assert len(records) == _NUM_WARMUP
    signatures = []
    for record in records:
        log = prediction_log_pb2.PredictionLog.FromString(record)
        request = log.predict_log.request
        inputs = {
            name: tf.constant(tf.make_ndarray(value))
            for name, value in request.inputs.items()
        }
        signatures.append(request.model_spec.signature_name)
        answer = model.signatures[signatures[-1]](**inputs)
        assert answer["movie_ids"].shape == [1, 10]
    assert set(signatures) == {"serving_default", "recommend_from_history"}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("nan", "serving_default with 1 users and k=1: 1 of 1 scores are nan"),
        ("duplicate", 'movie "'),
        ("seen", "is one that the user has seen"),
        ("unsorted", "come after empty ids"),
        (
            "wrong dtype",
            "output of serving_default: scores is float64 of rank 2, "
            "not float32 of rank 2",
        ),
        ("no signature", "signature query_embedding is missing"),
        ("any k", "k=13 is accepted, though only 1 to 12 can be asked for"),
        ("empty user", "an empty user id gets other scores"),
        ("other embedding", "the dot product of the embeddings is not the score"),
    ],
)
def test_each_fault_is_a_reason(
    tmp_path: Path, requests: dict[str, Any], fault: Fault, reason: str
) -> None:
    save_tiny_model(str(tmp_path), fault)
    reasons = probe(str(tmp_path), requests)["reasons"]
    assert any(reason in told for told in reasons), reasons
    assert all("\n" not in told for told in reasons)


def test_a_slow_model_and_a_broken_folder_are_not_servable(
    tmp_path: Path, requests: dict[str, Any]
) -> None:
    save_tiny_model(str(tmp_path / "sound"))
    path, strict = str(tmp_path / "sound"), requests | {"max_latency_ms": 1e-6}
    assert "more than serving.max_latency_ms=1e-06" in probe(path, strict)["reasons"][0]
    (tmp_path / "sound" / "saved_model.pb").unlink()
    assert "cannot be loaded" in probe(path, requests)["reasons"][0]


def test_a_corpus_that_the_model_lacks_is_noticed(
    tmp_path: Path, requests: dict[str, Any]
) -> None:
    save_tiny_model(str(tmp_path))
    larger = requests | {"corpus": [*requests["corpus"], "new"]}
    reasons = probe(str(tmp_path), larger)["reasons"]
    told = "failed: InvalidArgumentError: assertion failed: [k and the corpus size are]"
    assert told in reasons[0] and "[13] [12]" in reasons[0]


def test_a_model_that_needs_this_process_is_not_blessed(
    tmp_path: Path, examples: artifact.Artifact
) -> None:
    """It answers here, where its Python function lives, but not in a server."""
    blessing = _check(tmp_path, examples, "needs Python")
    assert blessing.get_int_custom_property("blessed") == 0
    assert not blessing.get_int_custom_property("has_model")
    reasons = json.loads(blessing.get_string_custom_property("reasons"))
    assert "request (known users) failed" in reasons[0]
    assert Path(blessing.uri, "INFRA_NOT_BLESSED").exists()
    assert not Path(path_utils.stamped_model_path(blessing.uri)).exists()


def _push(
    folder: Path, infra_blessing: artifact.Artifact, *, model_blessed: bool = True
) -> artifact.Artifact:
    """Runs the pusher's executor and returns the pushed model."""
    folder.mkdir()
    model_blessing = standard_artifacts.ModelBlessing()
    model_blessing.set_int_custom_property("blessed", int(model_blessed))
    pushed = standard_artifacts.PushedModel()
    pushed.uri = str(folder / "pushed")
    destination = {"filesystem": {"base_directory": str(folder.parent / "serving")}}
    Pusher().Do(
        {"model_blessing": [model_blessing], "infra_blessing": [infra_blessing]},
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
            assert _contents(copy) == _contents(source)
        names = set(_contents(path))
        assert {"saved_model.pb", "variables/variables.index"} <= names
        assert "assets.extra/tf_serving_warmup_requests" in names
        assert (path / "assets").is_dir()


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
    with pytest.raises(Exception, match="nowhere|saved_model.pb|^$"):
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
