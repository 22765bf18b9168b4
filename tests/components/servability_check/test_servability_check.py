"""ServabilityCheck in a process of its own, on a model that the Trainer exported."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2
from tfx.types import artifact, standard_artifacts
from tfx.utils import path_utils

from components.parameters import to_parameter
from components.servability_check.component import ServabilityCheck, requests_of
from components.servability_check.config import ServingConfig
from components.servability_check.queries import read_corpus, read_queries
from components.servability_check.serving_checks.checks import check_model
from tests.fixtures.example_rows import write_examples
from tests.fixtures.exported_model import LIMITS, small_rows
from trainer.serving_contract import SIGNATURES

pytestmark = pytest.mark.slow

_NUM_WARMUP = 2 * len(SIGNATURES) + 1


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> artifact.Artifact:
    return write_examples(tmp_path_factory.mktemp("data") / "examples", small_rows())


def _config(**changes: Any) -> ServingConfig:
    settings = {"warmup_requests": _NUM_WARMUP, "max_latency_ms": 10_000} | changes
    return ServingConfig(**dataclasses.asdict(LIMITS), **settings)


def _check(
    folder: Path,
    examples: artifact.Artifact,
    saved_model: Path,
    config: ServingConfig,
) -> artifact.Artifact:
    """Runs the executor on a model and returns the blessing."""
    model = standard_artifacts.Model()
    model.uri = str(folder / "model")
    shutil.copytree(saved_model, path_utils.serving_model_dir(model.uri))
    blessing = standard_artifacts.InfraBlessing()
    blessing.uri = str(folder / "blessing")
    Path(blessing.uri).mkdir()
    ServabilityCheck.test_call(
        model=model,
        examples=examples,
        blessing=blessing,
        serving=to_parameter(ServingConfig, config),
    )
    return blessing


@pytest.fixture(scope="module")
def blessing(
    tmp_path_factory: pytest.TempPathFactory,
    examples: artifact.Artifact,
    small_export: Path,
) -> artifact.Artifact:
    """The blessing of a sound model."""
    folder = tmp_path_factory.mktemp("sound")
    return _check(folder, examples, small_export, _config())


def test_a_sound_model_is_blessed_as_infra_validator_would(
    blessing: artifact.Artifact,
) -> None:
    report = json.loads(Path(blessing.uri, "servability.json").read_text())
    assert report["reasons"] == []
    assert set(report["median_latency_ms"]) == {
        *("serving_default", "recommend", "recommend_from_history"),
        *("recommend_examples", "similar_movies"),
    }
    assert report["c_api"] == "checked" or "no C compiler" in report["c_api"]
    assert 0.1 < report["size_mb"] < 100
    assert blessing.get_int_custom_property("blessed") == 1
    assert blessing.get_int_custom_property("has_model") == 1
    assert blessing.get_string_custom_property("reasons") == "[]"
    assert Path(blessing.uri, "INFRA_BLESSED").exists()


def test_warm_up_requests_of_each_signature_can_be_replayed(
    blessing: artifact.Artifact,
) -> None:
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
        # TensorFlow Serving pads no empty list.
        assert all(0 not in value.shape for value in inputs.values())
        signatures.append(request.model_spec.signature_name)
        for output in model.signatures[signatures[-1]](**inputs).values():
            assert output.shape[0] == 1
    assert signatures[: len(SIGNATURES)] == [each.name for each in SIGNATURES]


def test_a_large_model_that_needs_this_process_is_not_blessed(
    tmp_path: Path, examples: artifact.Artifact, small_model: Any
) -> None:
    """It answers here, where its Python function lives, but not in a server."""
    default = small_model.signatures["serving_default"]

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, "user_id"),
            tf.TensorSpec([None], tf.int32, "k"),
        ]
    )
    def with_python(user_id: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        answer = default(user_id=user_id, k=k)
        scores = tf.numpy_function(lambda x: x, [answer["scores"]], tf.float32)
        return answer | {"scores": tf.ensure_shape(scores, [None, None])}

    saved = tmp_path / "with Python"
    signatures = {**small_model.signatures, "serving_default": with_python}
    tf.saved_model.save(small_model, str(saved), signatures=signatures)
    config = _config(max_size_mb=0.1)
    blessing = _check(tmp_path, examples, saved, config)
    assert blessing.get_int_custom_property("blessed") == 0
    assert not blessing.get_int_custom_property("has_model")
    reasons = json.loads(blessing.get_string_custom_property("reasons"))
    assert "request (known users) failed" in reasons[0]
    assert any("loaded by TensorFlow's C API the model fails" in r for r in reasons)
    assert reasons[-1].endswith("more than serving.max_size_mb=0.1")
    assert Path(blessing.uri, "INFRA_NOT_BLESSED").exists()
    assert not Path(path_utils.stamped_model_path(blessing.uri)).exists()


def test_a_slow_model_and_a_broken_folder_are_not_servable(
    tmp_path: Path,
    examples: artifact.Artifact,
    small_export: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queries, corpus = read_queries(examples, 32), read_corpus(examples)
    strict = requests_of(_config(max_latency_ms=1e-6), queries, corpus)
    monkeypatch.setattr(f"{check_model.__module__}._CHECKS", ())  # only the time counts
    reasons = check_model(str(small_export), strict)["reasons"]
    assert "more than serving.max_latency_ms=1e-06" in reasons[0]
    shutil.copytree(small_export, tmp_path / "model")
    (tmp_path / "model" / "saved_model.pb").unlink()
    (reason,) = check_model(str(tmp_path / "model"), strict)["reasons"]
    assert "cannot be loaded" in reason
