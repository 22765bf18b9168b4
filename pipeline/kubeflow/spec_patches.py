"""Patches that make the pipeline that TFX compiles run on an open-source server.

Each function changes one thing of a PipelineSpec, a nested dict like its YAML. The
server's rules that TFX's own output breaks are in `pipeline.kubeflow.validation.rules`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pipeline.kubeflow import ui_artifacts

Spec = dict[str, Any]
DRIVER_FLAG: Final = "--driver_class_path"
STEP_FLAG: Final = "--step"
ENTRYPOINT: Final = ("python", "-m", "pipeline.kubeflow.step_entrypoint")


def tasks(spec: Spec) -> dict[str, Any]:
    """Task name -> task. The graph is flat: no task contains others."""
    return spec["root"]["dag"]["tasks"]


def component_of(spec: Spec, task: Mapping[str, Any]) -> dict[str, Any]:
    """The component that a task runs."""
    return spec["components"][task["componentRef"]["name"]]


def containers(spec: Spec) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields task name and container."""
    executors = spec["deploymentSpec"]["executors"]
    for name, task in tasks(spec).items():
        label = component_of(spec, task)["executorLabel"]
        if "container" in executors[label]:
            yield name, executors[label]["container"]


def set_pipeline_root(spec: Spec, pipeline_root: str | None) -> None:
    """Sets the folder of the artifacts, which TFX leaves out of the YAML format.

    Without it the server writes to a folder of its own.
    """
    if pipeline_root is not None:
        spec["defaultPipelineRoot"] = pipeline_root


def set_parameter_defaults(spec: Spec, defaults: Mapping[str, str]) -> None:
    """Sets the defaults of runtime parameters, which TFX drops.

    A server does not start a run while a parameter has neither default nor value.

    Args:
      spec: The pipeline.
      defaults: Parameter -> default. Each run must set the parameters left out.
    """
    definitions = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    for name, value in defaults.items():
        definitions[name]["defaultValue"] = value


def use_our_entrypoint(spec: Spec) -> None:
    """Runs `step_entrypoint`, which understands the messages of open-source launchers.

    TFX's entrypoint fails in every step: inputs arrive without types (tfx#7768), the
    server adds an output `executor-logs`, and TensorFlow opens neither `minio://` nor
    `s3://`.
    """
    for _, container in containers(spec):
        container["command"] = list(ENTRYPOINT)


def run_driver_in_step(spec: Spec, drivers: Mapping[str, str]) -> None:
    """Passes the driver's class to the step, in place of a hook that is never called.

    TFX puts the driver of a file-based ExampleGen into `lifecycle.preCacheCheck`, which
    open-source servers ignore: span, version and fingerprint would stay unset.

    Args:
      spec: The pipeline.
      drivers: Task name -> dotted path of the driver's class.
    """
    for name, container in containers(spec):
        container.pop("lifecycle", None)
        if name in drivers:
            container["args"] += [DRIVER_FLAG, drivers[name]]


def pass_step_name(spec: Spec) -> None:
    """Passes the step's name, so that an error can mention it.

    TFX passes the executor's class only, which is `Executor` for most components.
    """
    for name, container in containers(spec):
        container["args"] += [STEP_FLAG, name]


def prefix_names(spec: Spec) -> None:
    """Names components `comp-x` and executors `exec-x`, as the KFP compiler does.

    `kfp.local` removes five characters from the component's name without looking at
    them, and the user interface shows the rest. Tasks keep their names.
    """
    executors = spec["deploymentSpec"]["executors"]
    for name, task in tasks(spec).items():
        component = spec["components"].pop(task["componentRef"]["name"])
        executors[f"exec-{name}"] = executors.pop(component["executorLabel"])
        component["executorLabel"] = f"exec-{name}"
        spec["components"][f"comp-{name}"] = component
        task["componentRef"]["name"] = f"comp-{name}"


def declare_ui_artifacts(spec: Spec) -> None:
    """Adds the outputs with which the user interface shows the report and its metrics.

    It displays artifacts of Kubeflow's own types, and only links to those of TFX.
    """
    for component in spec["components"].values():
        ui_artifacts.declare(component)
