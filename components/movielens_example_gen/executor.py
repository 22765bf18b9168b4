"""The executor: reads columns, then lets Beam encode and write the rows by shards."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from typing import Any

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
from components.movielens_example_gen.config import ExampleGenConfig
from components.movielens_example_gen.data_summary import (
    QUARANTINE_FILE,
    SUMMARY_PROPERTY,
)
from components.movielens_example_gen.rows.examples import Corpus, encode_shard
from components.movielens_example_gen.rows.staging import Staged
from trainer.features import CORPUS_SPLIT, SPLITS

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
        with tf.io.TFRecordWriter(path + ".part", _COMPRESSION) as out:
            for row in rows:
                out.write(row)
        fileio.rename(path + ".part", path, overwrite=True)


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
        prepared = ingest.prepare(base, config)
        staged = ingest.stage(prepared, self._get_tmp_dir())
        with self._make_beam_pipeline() as pipeline:
            for split in SPLITS:
                folder = artifact_utils.get_split_uri(outputs, split)
                fileio.makedirs(folder)
                shards = beam.Create(range(staged.num_shards(split)))
                write = _WriteShard(split, staged, config, folder)
                _ = (
                    pipeline
                    | f"Shards[{split}]" >> shards
                    | f"Spread[{split}]" >> beam.Reshuffle()
                    | f"Write[{split}]" >> beam.ParDo(write)
                )
        examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_TF_EXAMPLE)
        examples_utils.set_file_format(examples, "tfrecords_gzip")
        _record(examples, prepared)


def _record(examples: types.Artifact, prepared: ingest.Prepared) -> None:
    """Sets the properties of the artifact and writes the rows that were set aside."""
    summary = prepared.summary()
    if prepared.bad.rows:
        path = os.path.join(examples.uri, QUARANTINE_FILE)
        prepared.bad.write(path)
        summary["quarantine_file"] = path
    text = json.dumps(summary)
    examples.set_string_custom_property(SUMMARY_PROPERTY, text)
    # The driver sets it too, but Kubeflow Pipelines does not run the driver.
    newest = prepared.spans[-1].span
    examples.set_int_custom_property(utils.SPAN_PROPERTY_NAME, newest)
    logging.info("MovieLensExampleGen: %s", text)
