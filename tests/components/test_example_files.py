"""What `ExampleSink` writes, `ExampleBatches` and TensorFlow read."""

from __future__ import annotations

from pathlib import Path

import apache_beam as beam
import pytest
import tensorflow as tf
from apache_beam.testing.util import assert_that, equal_to

from components.example_batches import ExampleBatches
from components.example_sink import ExampleSink
from tests.fixtures.example_rows import to_example

_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"


def _write(prefix: str, batches: list[list[bytes]]) -> None:
    with beam.Pipeline(runner=_RUNNER) as pipeline:
        _ = pipeline | beam.Create(batches) | beam.io.Write(ExampleSink(prefix))


@pytest.mark.slow
def test_rows_come_back_in_order_in_batches_of_the_size_wanted(tmp_path: Path) -> None:
    rows = [
        to_example({"user_id": [b"u%d" % user]}).SerializeToString()
        for user in range(10)
    ]
    _write(str(tmp_path / "rows"), [rows[:4], rows[4:]])
    (path,) = tmp_path.glob("*")
    assert path.name == "rows-00000-of-00001.gz"
    found = tf.data.TFRecordDataset(str(path), compression_type="GZIP")
    assert list(found.as_numpy_iterator()) == rows
    with beam.Pipeline(runner=_RUNNER) as pipeline:
        batches = (
            pipeline
            | ExampleBatches(f"{tmp_path}/rows-*").BeamSource(batch_size=7)
            | beam.Map(lambda batch: batch.column(0).flatten().to_pylist())
        )
        users = [b"u%d" % user for user in range(10)]
        assert_that(batches, equal_to([users[:7], users[7:]]))


@pytest.mark.slow
def test_a_split_without_rows_is_a_file_without_rows(tmp_path: Path) -> None:
    _write(str(tmp_path / "rows"), [])
    (path,) = tmp_path.glob("*")
    found = tf.data.TFRecordDataset(str(path), compression_type="GZIP")
    assert list(found.as_numpy_iterator()) == []
    with beam.Pipeline(runner=_RUNNER) as pipeline:
        batches = pipeline | ExampleBatches(str(path)).BeamSource()
        assert_that(batches, equal_to([]))
