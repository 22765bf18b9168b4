"""The engine `dataflow`, without an account: what Beam makes of its arguments."""

from __future__ import annotations

from tests.fixtures.dataflow_jobs import check_job, job_of


def test_workers_are_started_from_the_image_alone() -> None:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    def run(arguments: list[str]) -> None:
        with beam.Pipeline(options=PipelineOptions(arguments)) as pipeline:
            numbers = pipeline | beam.Create([1, 2])
            _ = numbers | beam.Map(str) | beam.Reshuffle()

    check_job(*job_of(run))
