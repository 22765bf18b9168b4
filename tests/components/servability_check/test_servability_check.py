"""ServabilityCheck on a real SavedModel, sound and with each fault."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2
from tfx.types import artifact, standard_artifacts
from tfx.utils import path_utils

from components.parameters import to_parameter
from components.servability_check.component import ServabilityCheck
from components.servability_check.queries import read_corpus, read_queries
from components.servability_check.serving_checks.checks import check_model
from pipeline.config import ServingConfig
from tests.fixtures.example_rows import (
    MOVIE_IDS,
    eval_row,
    sound_rows,
    write_examples,
)
from tests.fixtures.tiny_model import LIMITS, Fault, save_tiny_model
from trainer import features as f
from trainer.serving_contract import SIGNATURES

_NUM_WARMUP = 5


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> artifact.Artifact:
    return write_examples(tmp_path_factory.mktemp("data") / "examples", sound_rows())


@pytest.fixture(scope="module")
def requests(examples: artifact.Artifact) -> dict[str, Any]:
    return _requests(examples)


def _requests(examples: artifact.Artifact) -> dict[str, Any]:
    users = [dataclasses.asdict(query) for query in read_queries(examples, 32)]
    corpus = read_corpus(examples)
    return {
        "signatures": [dataclasses.asdict(each) for each in SIGNATURES],
        "users": users,
        "corpus": corpus,
        "limits": dataclasses.asdict(LIMITS),
        "max_latency_ms": None,
    }


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
    serving = ServingConfig(
        warmup_requests=_NUM_WARMUP,
        max_latency_ms=10_000,
        **dataclasses.asdict(LIMITS),
    )
    ServabilityCheck.test_call(
        model=model,
        examples=examples,
        blessing=blessing,
        serving=to_parameter(ServingConfig, serving),
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
        ("no query_embedding", "signature query_embedding is missing"),
        ("no known_user", "signature known_user is missing"),
        ("no known_movie", "signature known_movie is missing"),
        ("any k", "serving_default accepts k=11"),
        ("any batch", "serving_default accepts 41 rows"),
        ("any rating", "recommend_from_history accepts a rating of nan"),
        ("minus infinity", "scores are -inf"),
        ("evaluate served", "signature evaluate is none that callers of a server may"),
        ("empty user", "an empty user id gets other scores"),
        ("other embedding", "the dot product of the embeddings is not the score"),
    ],
)
def test_each_fault_is_a_reason(
    tmp_path: Path, requests: dict[str, Any], fault: Fault, reason: str
) -> None:
    save_tiny_model(str(tmp_path), fault)
    reasons = check_model(str(tmp_path), requests)["reasons"]
    assert any(reason in found for found in reasons), reasons
    assert all("\n" not in found for found in reasons)


def test_a_user_who_has_rated_every_movie_is_no_fault(tmp_path: Path) -> None:
    """Nothing is left to recommend, so no score can be compared with the embeddings."""
    rows = sound_rows()
    movies = list(MOVIE_IDS)
    everything = {
        f.MOVIE_IDS: movies,
        f.RATINGS: [4.0] * len(movies),
        f.TIMESTAMPS: list(range(len(movies))),
    }
    seen = {f.SEEN_MOVIE_IDS: movies[:-1], f.HELD_OUT_MOVIE_IDS: movies[-1:]}
    rows[f.EVAL_SPLIT][:3] = [eval_row(user, **everything, **seen) for user in range(3)]
    save_tiny_model(
        str(tmp_path / "model"), timelines={0: movies, 1: movies, 2: movies}
    )
    examples = write_examples(tmp_path / "examples", rows)
    assert check_model(str(tmp_path / "model"), _requests(examples))["reasons"] == []


def test_a_slow_model_and_a_broken_folder_are_not_servable(
    tmp_path: Path, requests: dict[str, Any]
) -> None:
    save_tiny_model(str(tmp_path / "sound"))
    path, strict = str(tmp_path / "sound"), requests | {"max_latency_ms": 1e-6}
    assert (
        "more than serving.max_latency_ms=1e-06"
        in check_model(path, strict)["reasons"][0]
    )
    (tmp_path / "sound" / "saved_model.pb").unlink()
    assert "cannot be loaded" in check_model(path, requests)["reasons"][0]


def test_a_movie_that_the_model_lacks_is_a_reason(
    tmp_path: Path, requests: dict[str, Any]
) -> None:
    save_tiny_model(str(tmp_path))
    limits = {**requests["limits"], "max_k": 12}
    larger = requests | {"corpus": [*requests["corpus"], "new"], "limits": limits}
    reasons = check_model(str(tmp_path), larger)["reasons"]
    assert "failed: InvalidArgumentError: assertion failed: [k must be" in reasons[0]
    assert "[10]" in reasons[0] and "[12]" in reasons[0]


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
