"""The times of steps, as runners note them and as the report reads them."""

from __future__ import annotations

import pytest
from tfx.types import standard_artifacts

from components.report_gen.facts import StepTime
from components.report_gen.step_times import read_step_times, step_properties


def noted(step: str, seconds: float, run_id: str) -> standard_artifacts.Model:
    artifact = standard_artifacts.Model()
    for name, value in step_properties(step, seconds, run_id).items():
        if isinstance(value, str):
            artifact.set_string_custom_property(name, value)
        else:
            artifact.set_float_custom_property(name, value)
    return artifact


def test_a_step_of_another_run_was_cached() -> None:
    artifacts = [noted("Transform", 5.0, "run-1"), noted("Trainer", 20.5, "run-2")]
    assert read_step_times(artifacts, "run-2") == [
        StepTime("Transform", "cached", 0.0),
        StepTime("Trainer", "done", 20.5),
    ]


def test_a_step_with_two_artifacts_is_listed_once() -> None:
    artifacts = [noted("Trainer", 20.5, "run-1"), noted("Trainer", 20.5, "run-1")]
    assert len(read_step_times(artifacts, "run-1")) == 1


@pytest.mark.parametrize("run_id", ["run-1", ""])
def test_artifacts_without_a_note_are_skipped(run_id: str) -> None:
    assert read_step_times([standard_artifacts.Model()], run_id) == []
