"""Tasks of `out_of_core` as steps of Beam; workers need neither TFX nor TensorFlow."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from components.movielens_example_gen.config import (
    INGEST_OPTION,
    IngestConfig,
    IngestMode,
)
from components.movielens_example_gen.out_of_core.run import Task


class IngestOptions(PipelineOptions):
    """`IngestConfig` as an option of Beam: a runner gives it, outside of cache keys."""

    @classmethod
    def _add_argparse_args(cls, parser: ArgumentParser) -> None:
        parser.add_argument(f"--{INGEST_OPTION}", choices=get_args(IngestMode))


def ingest_mode(args: Sequence[str]) -> IngestMode:
    """Reads the mode from the arguments of Beam."""
    options = PipelineOptions(list(args)).view_as(IngestOptions)
    mode: IngestMode = getattr(options, INGEST_OPTION) or IngestConfig().ingest
    return mode


@dataclass(eq=False)
class _Do(beam.DoFn):
    task: Task

    def setup(self) -> None:
        self.task.load()

    def process(self, element: Any) -> None:
        self.task(element)


def distribute(
    pipeline: beam.Pipeline, name: str, task: Task, elements: Sequence[Any]
) -> None:
    """Does a task for each element on any worker."""
    _ = (
        pipeline
        | name >> beam.Create(elements)
        | f"Spread[{name}]" >> beam.Reshuffle()
        | f"Do[{name}]" >> beam.ParDo(_Do(task))
    )
