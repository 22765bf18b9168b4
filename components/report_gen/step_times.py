"""How long each step took: noted on its outputs by its runner, read by ReportGen.

A runner sets `step_properties` as custom properties of every artifact that a step
makes, before another step reads them: they are part of the readers' cache keys. A step
that is cached keeps those of the run that made its outputs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from components.report_gen.facts import StepTime

if TYPE_CHECKING:  # a step on Kubeflow sets TensorFlow's environment before the import
    from tfx import types

STEP_PROPERTY: Final = "step"
SECONDS_PROPERTY: Final = "step_seconds"
RUN_PROPERTY: Final = "step_run"


def step_properties(step: str, seconds: float, run_id: str) -> dict[str, str | float]:
    """Returns the custom properties of the artifacts that a step has made.

    Args:
      step: Node id.
      seconds: How long the step took.
      run_id: Run in which it did so.
    """
    return {STEP_PROPERTY: step, SECONDS_PROPERTY: seconds, RUN_PROPERTY: run_id}


def read_step_times(artifacts: Iterable[types.Artifact], run_id: str) -> list[StepTime]:
    """Returns the steps that made the artifacts, in their order, each step once.

    Args:
      artifacts: Those without the properties are skipped.
      run_id: The current run; a step of another one was cached in this one.
    """
    steps = {}
    for artifact in artifacts:
        if step := artifact.get_string_custom_property(STEP_PROPERTY):
            seconds = artifact.get_float_custom_property(SECONDS_PROPERTY)
            is_cached = artifact.get_string_custom_property(RUN_PROPERTY) != run_id
            state, seconds = ("cached", 0.0) if is_cached else ("done", seconds)
            steps[step] = StepTime(step, state, seconds)
    return list(steps.values())
