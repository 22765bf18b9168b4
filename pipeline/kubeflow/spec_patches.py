"""What stock TFX's compiled pipeline lacks for an open-source Kubeflow server.

Each function mends one thing in a PipelineSpec (a nested dict, as its YAML has it), in
place. `pipeline.kubeflow.validation.rules` has the server's rules that the stock file
breaks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pipeline.kubeflow import shown_artifacts
from trainer.errors import UserError

Spec = dict[str, Any]
DRIVER_FLAG: Final = "--driver_class_path"
STEP_FLAG: Final = "--step"
ENTRYPOINT: Final = ("python", "-m", "pipeline.kubeflow.step_entrypoint")
_COMPONENT_PREFIX: Final = "comp-"
_EXECUTOR_PREFIX: Final = "exec-"


def tasks(spec: Spec) -> dict[str, Any]:
    """Task name -> task. Our graph is flat: no task is a graph of its own."""
    found: dict[str, Any] = spec["root"]["dag"]["tasks"]
    return found


def component_of(spec: Spec, task: Mapping[str, Any]) -> dict[str, Any]:
    """The component that a task runs."""
    found: dict[str, Any] = spec["components"][task["componentRef"]["name"]]
    return found


def containers(spec: Spec) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields task name and container."""
    executors = spec["deploymentSpec"]["executors"]
    for name, task in tasks(spec).items():
        label = component_of(spec, task)["executorLabel"]
        if "container" in executors[label]:
            yield name, executors[label]["container"]


def set_pipeline_root(spec: Spec, pipeline_root: str | None) -> None:
    """Says where artifacts go, which the stock YAML forgets.

    Without it, and without a root from the client, the server takes its own default.
    """
    if pipeline_root is not None:
        spec["defaultPipelineRoot"] = pipeline_root


def set_parameter_defaults(spec: Spec, defaults: Mapping[str, str]) -> None:
    """Writes back the defaults of runtime parameters, which the stock file drops.

    A server refuses to start a run whose parameter has neither default nor value.

    Args:
      spec: The pipeline.
      defaults: Parameter -> default; one that is missing must be given by each run.
    """
    definitions = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    for name, value in defaults.items():
        definitions[name]["defaultValue"] = value


def run_our_entrypoint(spec: Spec) -> None:
    """Runs our entrypoint, which understands what open-source launchers pass.

    TFX's own fails in every step: inputs come without their types (tfx#7768), outputs
    with one more, `executor-logs`, and `minio://` and `s3://` cannot be opened.
    """
    for _, container in containers(spec):
        container["command"] = list(ENTRYPOINT)


def run_driver_in_the_step(spec: Spec, drivers: Mapping[str, str]) -> None:
    """Hands the driver's class to the step, in place of a hook that nobody calls.

    TFX puts the driver of a file-based ExampleGen into `lifecycle.preCacheCheck`, which
    open-source servers ignore; span, version and fingerprint would stay unset.

    Args:
      spec: The pipeline.
      drivers: Task name -> dotted path of its driver's class.
    """
    for name, container in containers(spec):
        container.pop("lifecycle", None)
        if name in drivers:
            container["args"] += [DRIVER_FLAG, drivers[name]]


def name_the_step(spec: Spec) -> None:
    """Tells the step its name, so that it can say which one failed.

    TFX passes a class only, and for the stock components that is `Executor`.
    """
    for name, container in containers(spec):
        container["args"] += [STEP_FLAG, name]


def name_as_the_sdk_does(spec: Spec) -> None:
    """Names components `comp-x` and executors `exec-x`.

    `kfp.local` cuts five characters off a component's name without looking, and the
    user interface shows what is left. Tasks keep their names.
    """
    executors = spec["deploymentSpec"]["executors"]
    for name, task in tasks(spec).items():
        old = task["componentRef"]["name"]
        component = spec["components"].pop(old)
        executors[f"{_EXECUTOR_PREFIX}{name}"] = executors.pop(
            component["executorLabel"]
        )
        component["executorLabel"] = f"{_EXECUTOR_PREFIX}{name}"
        spec["components"][f"{_COMPONENT_PREFIX}{name}"] = component
        task["componentRef"]["name"] = f"{_COMPONENT_PREFIX}{name}"


def rename_condition_keys(spec: Spec) -> None:
    """Lets conditions name the inputs that their task has.

    Where a condition reads a channel that is also a named input, TFX writes the key
    that it would have given it, and the server finds "no such key".
    """
    for task in tasks(spec).values():
        trigger = task.get("triggerPolicy", {})
        if "condition" not in trigger:
            continue
        for key, source in task.get("inputs", {}).get("artifacts", {}).items():
            output = source["taskOutputArtifact"]
            implicit = f"_{output['producerTask']}.{output['outputArtifactKey']}"
            trigger["condition"] = trigger["condition"].replace(
                f"inputs.artifacts['{implicit}']", f"inputs.artifacts['{key}']"
            )


def name_real_producers(spec: Spec) -> None:
    """Names the task that makes a parameter, not `<task>_task`, which TFX writes."""
    known = tasks(spec)
    for task in known.values():
        for source in task.get("inputs", {}).get("parameters", {}).values():
            output = source.get("taskOutputParameter", {})
            producer = output.get("producerTask", "")
            if producer not in known and producer.removesuffix("_task") in known:
                output["producerTask"] = producer.removesuffix("_task")


def drop_null_metadata(spec: Spec) -> None:
    """Removes artifact properties without a value, which the launcher cannot store."""
    for component in spec["components"].values():
        outputs = component.get("outputDefinitions", {}).get("artifacts", {})
        for artifact in outputs.values():
            metadata = artifact.get("metadata", {})
            for key in [key for key, value in metadata.items() if value is None]:
                del metadata[key]


def show_the_report(spec: Spec) -> None:
    """Adds the outputs by which Kubeflow's pages show the report and its metrics.

    They show artifacts of Kubeflow's own types, and TFX's only as links.
    """
    for component in spec["components"].values():
        shown_artifacts.declare(component)


def refuse_what_no_server_runs(spec: Spec) -> None:
    """Ends with one line where a node cannot be mended.

    Raises:
      UserError: A resolver, or an importer of something that is no object store.
    """
    for name, task in tasks(spec).items():
        label = component_of(spec, task)["executorLabel"]
        executor = spec["deploymentSpec"]["executors"][label]
        if "resolver" in executor:
            raise UserError(
                f"{name} is a resolver, which open-source Kubeflow does not run",
                "Take the live model from LiveModel, as `create_pipeline` does.",
            )
        if "importer" in executor:
            raise UserError(
                f"{name} is an importer, which takes only what is in an object store",
                "Bring the artifact with the image, as SchemaImporter does.",
            )
