"""Beam's job server, which Java runs for Spark and Flink."""

from __future__ import annotations

import signal

from apache_beam.runners.portability.job_server import (
    EmbeddedJobServer,
    StopOnExitJobServer,
)

from pipeline.engines import workers


def test_it_starts_where_the_workers_are_asked_in_a_thread() -> None:
    before = signal.getsignal(signal.SIGINT)
    server = StopOnExitJobServer(EmbeddedJobServer())
    assert workers._within(30, server.start) is not None
    server.stop()
    assert signal.getsignal(signal.SIGINT) is before
