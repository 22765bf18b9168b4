"""What was recommended is kept, in the background, and never at a request's cost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from components.feedback.impressions import SCHEMA, ReadCounts, find_files, read
from components.serving_directory.label_file import LabelFile, write_file
from pipeline.serving.server.app import create_app
from pipeline.serving.server.impressions import (
    ImpressionLog,
    _who_asked,
    needed_inputs,
    needed_outputs,
)
from pipeline.serving.server.models import ModelVersions
from pipeline.serving.server.predictor import Predictor, Target, is_of_canary
from tests.fixtures.asgi import call

Push = Callable[[int], Path]
PREDICT = "/v1/models/two-tower:predict"


def test_each_answered_user_is_a_row(app: Any, tmp_path: Path) -> None:
    predictor = Predictor(app.state.predictor.versions, log_impressions=tmp_path)
    logged = create_app(predictor.versions, predictor)
    rows = [{"user_id": "42", "k": 2}, {"user_id": "é", "k": 1}]
    call(logged, "POST", PREDICT, {"instances": rows}, x_request_id="abc")
    call(logged, "POST", PREDICT, {"instances": [{"user_id": "1", "k": 0}]})
    known = {"signature_name": "known_user", "instances": ["42"]}
    call(logged, "POST", PREDICT, known)
    predictor.close()
    counts = ReadCounts()
    [batch] = read(find_files(str(tmp_path)), counts)
    assert batch.schema == SCHEMA
    assert (counts.rows, counts.malformed) == (2, 0)
    first, second = batch.to_pylist()
    assert first | {"at": None} == {
        "at": None,
        "request_id": "abc",
        "version": 1,
        "label": "",
        "signature": "serving_default",
        "user_id": "42",
        "k": 2,
        "movie_ids": ["0", "1"],
        "scores": [0.0, -1.0],
    }
    assert (second["user_id"], second["movie_ids"]) == ("é", ["0"])


def test_a_disk_that_cannot_be_written_fails_no_request_and_loses_nothing(
    app: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "impressions"
    folder.write_text("no folder")
    predictor = Predictor(app.state.predictor.versions, log_impressions=folder)
    logged = create_app(predictor.versions, predictor)
    request = {"instances": [{"user_id": "42", "k": 2}]}
    assert call(logged, "POST", PREDICT, request).status == 200
    log = predictor._impressions
    assert isinstance(log, ImpressionLog)
    log.flush()
    assert (log.written, log.lost) == (0, 0)
    folder.unlink()
    predictor.close()
    assert (log.written, log.lost) == (1, 0)
    assert pq.read_table(find_files(str(folder))[0]).num_rows == 1


def test_rows_that_cannot_be_written_at_the_end_are_counted(
    app: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "impressions"
    folder.write_text("no folder")
    predictor = Predictor(app.state.predictor.versions, log_impressions=folder)
    request = {"instances": [{"user_id": "42", "k": 2}]}
    call(create_app(predictor.versions, predictor), "POST", PREDICT, request)
    predictor.close()
    text = predictor.metrics.text().decode()
    assert "two_tower_server_impressions_lost_total 1.0" in text


def test_serialized_requests_are_kept_by_user_and_k() -> None:
    def example(**features: Any) -> bytes:
        return tf.train.Example(
            features=tf.train.Features(feature=features)
        ).SerializeToString()

    user = tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"7"]))
    k = tf.train.Feature(int64_list=tf.train.Int64List(value=[3]))
    rows = [example(user_id=user, k=k), example(user_id=user)]
    inputs = {"examples": tf.constant(rows).numpy()}
    assert list(_who_asked(inputs)) == [(b"7", 3), (b"7", 10)]


def test_the_share_of_the_canary_is_of_users_and_always_the_same() -> None:
    users = [str(number).encode() for number in range(20_000)]
    chosen = [user for user in users if is_of_canary(user, 10)]
    assert len(chosen) == pytest.approx(2000, abs=150)
    assert chosen == [user for user in users if is_of_canary(user, 10)]
    assert set(chosen) < {user for user in users if is_of_canary(user, 20)}
    assert not any(is_of_canary(user, 0) for user in users)
    assert all(is_of_canary(user, 100) for user in users)


def test_people_without_an_id_are_divided_by_request(push: Push) -> None:
    serving = push(1).parent
    push(2)
    write_file(str(serving), LabelFile(stable="1", canary="2"))
    versions = ModelVersions.of_serving_dir(serving, "two-tower")
    versions.refresh()
    predictor = Predictor(versions, canary_percent=50)
    nobody = {"user_id": np.array([b""], object)}
    found = [
        predictor._choose(Target("two-tower"), nobody, f"request {number}").version
        for number in range(200)
    ]
    predictor.close()
    assert found.count(2) == pytest.approx(100, abs=30)


def test_histories_are_not_kept_for_the_log() -> None:
    one = np.array([b"1"], object)
    inputs = {"user_id": one, "k": one, "movie_ids": one, "ratings": one}
    assert needed_inputs(inputs).keys() == {"user_id", "k"}
    outputs = {"movie_ids": one, "scores": one, "titles": one}
    assert needed_outputs(outputs).keys() == {"movie_ids", "scores"}
