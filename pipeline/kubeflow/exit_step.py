"""Notifications of a run on Kubeflow: how they get into the compiled file.

Its last step, ReportGen, sends what became of the model. When a step fails, no later
one runs but an exit task: `NotifyFailure`. On open-source servers that is a task of the
outermost graph that waits for another task there with the strategy
`ALL_UPSTREAM_TASKS_COMPLETED`; Argo runs it as a hook when that one ends (`dag.go`,
since server 2.4). So all other steps move into a graph of their own. Servers since 2.14
pass the exit task the state of that graph (`resolve.go`). An output of a step that did
not run would fail the exit task, so it reads none.

TFX's own `set_exit_handler` makes the same two graphs, but passes no parameter of the
run into the inner one, whose steps then do not find them (`pipeline_builder.py`).

Without channels in `notify` nothing of this is in the file.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Final

from components.movielens_example_gen.inputs.span_folders import DATED
from pipeline.config import PipelineConfig
from pipeline.kubeflow.compiled import CompiledPipeline
from pipeline.kubeflow.config import SPAN_PARAMETER, KubeflowConfig, StepConfig
from pipeline.kubeflow.spec_patches import NOTIFY_FLAG, STEP_FLAG
from pipeline.notifications.config import NotifyConfig
from trainer.config import from_json, to_json
from trainer.errors import UsageError

# The step that runs last, and the exit task.
LAST_STEP: Final = "ReportGen"
EXIT_STEP: Final = "NotifyFailure"
# The graph of all steps but the exit task.
STEPS: Final = "steps"
INPUT_FLAG: Final = "--executor_input"
# Inputs of the exit task.
FINAL_STATUS: Final = "final_status"
RUN_ID: Final = "run_id"
CREATED: Final = "created"
_RUNTIME: Final = {
    RUN_ID: "{{$.pipeline_job_uuid}}",
    CREATED: "{{$.pipeline_job_create_time_utc}}",
}
_ENTRYPOINT: Final = ("python", "-m", "pipeline.kubeflow.exit_entrypoint")
_SMALL: Final = StepConfig(
    cpu=0.5, memory_gb=1.0, gpus=0, timeout_seconds=900, cache=False
)


@dataclasses.dataclass(frozen=True)
class NotifySettings:
    """What a step must know to send a notification; nothing in it is secret.

    Attributes:
      notify: The channels.
      pipeline: Name of the pipeline.
      ui_url: See `KubeflowConfig`.
      span_pattern: Names of the folders of the spans.
      serving_dir: See `KubeflowConfig`.
    """

    notify: NotifyConfig
    pipeline: str
    ui_url: str | None
    span_pattern: str
    serving_dir: str

    @classmethod
    def of(cls, config: PipelineConfig) -> NotifySettings:
        """The settings of a configuration."""
        pattern = config.data.span_pattern or DATED
        settings = config.kubeflow
        folder = settings.serving_dir
        return cls(config.notify, config.name, settings.ui_url, pattern, folder)

    def argument(self) -> str:
        """The settings as an argument of a command; `from_argument` reads it."""
        return json.dumps(to_json(self), sort_keys=True)

    @classmethod
    def from_argument(cls, text: str) -> NotifySettings:
        """Reads what `argument` wrote."""
        return from_json(cls, json.loads(text))

    def run_page(self, run_id: str) -> str | None:
        """Address of a run's page; None if it is not known."""
        if not self.ui_url or not run_id:
            return None
        return f"{self.ui_url.rstrip('/')}/#/runs/details/{run_id}"


def has_notifications(config: PipelineConfig) -> bool:
    """Returns whether the compiled file has notifications."""
    return any(config.notify.channels())


def check_variables(config: PipelineConfig) -> None:
    """Rejects channels whose secrets the steps would not have.

    Raises:
      UsageError: A variable is in neither `kubeflow.secrets` nor `kubeflow.env`.
    """
    settings = config.kubeflow
    given = {secret.variable for secret in settings.secrets} | settings.env.keys()
    for variable in sorted(config.notify.variables() - given):
        raise UsageError(
            f"notify reads the environment variable {variable}, which no step on "
            "Kubeflow has",
            f"Add {{variable: {variable}, secret: NAME, key: KEY}} to "
            "kubeflow.secrets, with name and key of a Kubernetes secret.",
        )


def with_small_step(settings: KubeflowConfig) -> KubeflowConfig:
    """The settings with small resources for the exit task, unless it has its own."""
    own = settings.steps.get(EXIT_STEP, StepConfig())
    given = {name: value for name, value in vars(own).items() if value is not None}
    step = dataclasses.replace(_SMALL, **given)
    return dataclasses.replace(settings, steps={**settings.steps, EXIT_STEP: step})


def declare(pipeline: CompiledPipeline, config: PipelineConfig) -> None:
    """Adds the exit task, and lets the last step send notifications.

    Args:
      pipeline: The pipeline, still one graph; changed.
      config: Channels, and where a page of a run is.
    """
    argument = NotifySettings.of(config).argument()
    container = pipeline.executor(LAST_STEP)["container"]
    container["args"] += [NOTIFY_FLAG, argument]
    component, executor = f"comp-{EXIT_STEP}", f"exec-{EXIT_STEP}"
    kinds = dict.fromkeys(_RUNTIME, "STRING") | {FINAL_STATUS: "TASK_FINAL_STATUS"}
    sources: dict[str, Any] = {
        name: {"runtimeValue": {"constant": placeholder}}
        for name, placeholder in _RUNTIME.items()
    }
    if SPAN_PARAMETER in pipeline.parameters:
        kinds[SPAN_PARAMETER] = "STRING"
        sources[SPAN_PARAMETER] = {"componentInputParameter": SPAN_PARAMETER}
    sources[FINAL_STATUS] = {"taskFinalStatus": {"producerTask": STEPS}}
    pipeline.tasks[EXIT_STEP] = {
        "taskInfo": {"name": EXIT_STEP},
        "componentRef": {"name": component},
        "dependentTasks": [STEPS],
        "inputs": {"parameters": sources},
        "triggerPolicy": {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"},
    }
    pipeline.components[component] = {
        "executorLabel": executor,
        "inputDefinitions": {"parameters": _definitions(kinds)},
    }
    arguments = [NOTIFY_FLAG, argument, INPUT_FLAG, "{{$}}", STEP_FLAG, EXIT_STEP]
    pipeline.executors[executor] = {
        "container": {"command": list(_ENTRYPOINT), "args": arguments}
    }


def _definitions(kinds: Mapping[str, str]) -> dict[str, Any]:
    return {
        # A status has no value while it is not known.
        name: {"parameterType": kind}
        | ({"isOptional": True} if name == FINAL_STATUS else {})
        for name, kind in kinds.items()
    }


def enclose(pipeline: CompiledPipeline) -> None:
    """Moves all steps but the exit task into a graph, for whose end that one waits.

    Args:
      pipeline: The pipeline after `declare`, otherwise complete; changed.
    """
    root = pipeline.spec["root"]
    tasks = dict(root["dag"]["tasks"])
    exit_task = tasks.pop(EXIT_STEP)
    parameters = pipeline.parameters
    kinds = {name: item["parameterType"] for name, item in parameters.items()}
    component = f"comp-{STEPS}"
    pipeline.components[component] = {
        "dag": {"tasks": tasks},
        "inputDefinitions": {"parameters": _definitions(kinds)},
    }
    root["dag"]["tasks"] = {
        EXIT_STEP: exit_task,
        STEPS: {
            "taskInfo": {"name": STEPS},
            "componentRef": {"name": component},
            "inputs": {
                "parameters": {
                    name: {"componentInputParameter": name} for name in parameters
                }
            },
        },
    }
