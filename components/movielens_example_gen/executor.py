"""The executor: reads columns, then lets Beam encode and write the rows by shards."""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import apache_beam as beam
import tensorflow as tf
from tfx import types
from tfx.components.example_gen import utils
from tfx.components.example_gen.write_split import DEFAULT_FILE_NAME
from tfx.components.util import examples_utils
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_component_specs

from components.movielens_example_gen import ingest, parameters
from components.movielens_example_gen.beam_tasks import distribute, ingest_mode
from components.movielens_example_gen.config import ExampleGenConfig
from components.movielens_example_gen.data_summary import (
    QUARANTINE_FILE,
    SUMMARY_PROPERTY,
)
from components.movielens_example_gen.out_of_core.run import Task
from components.movielens_example_gen.rows.examples import Corpus, encode_shard
from components.movielens_example_gen.rows.staging import Staged
from components.movielens_example_gen.summary import Ingested
from trainer.features import CORPUS_SPLIT, SPLITS

_PART: Final = ".part"
# The default level takes four times as long for files that are a seventh smaller.
_COMPRESSION = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=1)


@dataclass(eq=False)
class _WriteShard(beam.DoFn):
    """Encodes the rows of a shard and writes them as one file, atomically."""

    split: str
    staged: Staged
    config: ExampleGenConfig
    folder: str
    corpus: Corpus | None = None

    def setup(self) -> None:
        if self.split != CORPUS_SPLIT:
            self.corpus = Corpus.read(self.staged)

    def process(self, index: int) -> None:
        num_shards = self.staged.num_shards(self.split)
        name = f"{DEFAULT_FILE_NAME}-{index:05d}-of-{num_shards:05d}.gz"
        path = os.path.join(self.folder, name)
        rows = encode_shard(self.split, self.staged, index, self.corpus, self.config)
        # Two workers may write the same shard, of which one is given up.
        part = f"{path}.{uuid.uuid4().hex}{_PART}"
        with tf.io.TFRecordWriter(part, _COMPRESSION) as out:
            for row in rows:
                out.write(row)
        fileio.rename(part, path, overwrite=True)


def _remove_parts(folder: str) -> None:
    """Removes what workers left behind that did not end."""
    for part in fileio.glob(os.path.join(folder, f"*{_PART}")):
        fileio.remove(part)


class Executor(BaseBeamExecutor):
    """Executor of `MovieLensExampleGen`.

    It is not TFX's `BaseExampleGenExecutor`: timelines need all input files together,
    and rows have a fixed order (users by a hash of their id, windows by time), which
    that one would shuffle.
    """

    def Do(
        self,
        input_dict: dict[str, list[Any]],
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the three splits, the summary and the rows that were set aside.

        Raises:
          UserError: The input is missing, or more rows are bad than are accepted.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        outputs = output_dict[standard_component_specs.EXAMPLES_KEY]
        examples = artifact_utils.get_single_instance(outputs)
        examples.split_names = artifact_utils.encode_split_names(list(SPLITS))
        config = parameters.from_exec_properties(exec_properties).data
        base = exec_properties[standard_component_specs.INPUT_BASE_KEY]
        mode = ingest_mode(self._beam_pipeline_args)
        read = ingest.ingest(base, config, self._get_tmp_dir(), mode, self._distribute)
        with self._make_beam_pipeline() as pipeline:
            for split in SPLITS:
                folder = artifact_utils.get_split_uri(outputs, split)
                fileio.makedirs(folder)
                shards = beam.Create(range(read.staged.num_shards(split)))
                write = _WriteShard(split, read.staged, config, folder)
                _ = (
                    pipeline
                    | f"Shards[{split}]" >> shards
                    | f"Spread[{split}]" >> beam.Reshuffle()
                    | f"Write[{split}]" >> beam.ParDo(write)
                )
        for split in SPLITS:
            _remove_parts(artifact_utils.get_split_uri(outputs, split))
        examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_TF_EXAMPLE)
        examples_utils.set_file_format(examples, "tfrecords_gzip")
        _record(examples, read)

    def _distribute(self, name: str, task: Task, elements: Sequence[Any]) -> None:
        """Does a task for each element on the workers of the engine."""
        if not elements:
            return
        with self._make_beam_pipeline() as pipeline:
            distribute(pipeline, name, task, elements)


def _record(examples: types.Artifact, read: Ingested) -> None:
    """Sets the properties of the artifact and writes the rows that were set aside."""
    summary = read.summary()
    if read.bad.rows:
        path = os.path.join(examples.uri, QUARANTINE_FILE)
        read.bad.write(path)
        summary["quarantine_file"] = path
    text = json.dumps(summary)
    examples.set_string_custom_property(SUMMARY_PROPERTY, text)
    # The driver sets it too, but Kubeflow Pipelines does not run the driver.
    newest = read.spans[-1].span
    examples.set_int_custom_property(utils.SPAN_PROPERTY_NAME, newest)
    logging.info("MovieLensExampleGen: %s", text)
