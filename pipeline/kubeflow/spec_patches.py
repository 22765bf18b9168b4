"""Patches that make the pipeline that TFX compiles run on an open-source server.

The server's rules that TFX's own output breaks are in
`pipeline.kubeflow.validation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pipeline.kubeflow.compiled import CompiledPipeline

DRIVER_FLAG: Final = "--driver_class_path"
STEP_FLAG: Final = "--step"
NOTIFY_FLAG: Final = "--notify"
ENTRYPOINT: Final = ("python", "-m", "pipeline.kubeflow.step_entrypoint")


def use_our_entrypoint(pipeline: CompiledPipeline, drivers: Mapping[str, str]) -> None:
    """Runs `step_entrypoint`, which understands the messages of open-source launchers.

    TFX's entrypoint fails in every step: inputs arrive without types (tfx#7768), the
    server adds an output `executor-logs`, and TensorFlow opens neither `minio://` nor
    `s3://`. Its errors cannot mention the step, so ours gets the step's name.

    TFX puts the driver of a file-based ExampleGen into `lifecycle.preCacheCheck`, a
    hook that open-source servers ignore: span, version and fingerprint would stay
    unset. The step runs the driver instead.

    Args:
      pipeline: The pipeline; changed.
      drivers: Task name -> dotted path of the driver's class.
    """
    for name, container in pipeline.containers():
        container["command"] = list(ENTRYPOINT)
        container.pop("lifecycle", None)
        if name in drivers:
            container["args"] += [DRIVER_FLAG, drivers[name]]
        container["args"] += [STEP_FLAG, name]


def set_defaults(
    pipeline: CompiledPipeline, root: str | None, parameters: Mapping[str, str]
) -> None:
    """Sets the defaults of a run, which TFX leaves out of the YAML format.

    A server does not start a run while a parameter has neither default nor value.

    Args:
      pipeline: The pipeline; changed.
      root: Folder of the artifacts; None for the server's own.
      parameters: Parameter -> default. Each run must set the parameters left out.
    """
    if root is not None:
        pipeline.spec["defaultPipelineRoot"] = root
    for name, value in parameters.items():
        pipeline.parameters[name]["defaultValue"] = value


def prefix_names(pipeline: CompiledPipeline) -> None:
    """Names components `comp-x` and executors `exec-x`, as the KFP compiler does.

    `kfp.local` removes five characters from the component's name without looking at
    them, and the user interface shows the rest. Tasks keep their names.
    """
    for name, task in pipeline.tasks.items():
        component = pipeline.components.pop(task["componentRef"]["name"])
        executor = pipeline.executors.pop(component["executorLabel"])
        pipeline.executors[f"exec-{name}"] = executor
        component["executorLabel"] = f"exec-{name}"
        pipeline.components[f"comp-{name}"] = component
        task["componentRef"]["name"] = f"comp-{name}"
