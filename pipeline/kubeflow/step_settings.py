"""Resources, retries, caching, environment and node placement of the steps.

TFX has no settings for most of these, and ignores the rest for a file-based ExampleGen,
so they are written into the compiled file. Those that only Kubernetes has go into a
second document, `platforms`, keyed by the executor's label.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable
from typing import Any, Final

from pipeline.kubeflow.config import KubeflowConfig, StepConfig
from pipeline.kubeflow.spec_patches import Spec, component_of, containers, tasks
from trainer.errors import UsageError

_BACKOFF: Final = {
    "backoffDuration": "60s",
    "backoffFactor": 2.0,
    "backoffMaxDuration": "3600s",
}


def step_config(config: KubeflowConfig, step: str) -> StepConfig:
    """The settings of a step: its own over the defaults."""
    own = config.steps.get(step, StepConfig())
    values = {}
    for item in dataclasses.fields(StepConfig):
        value = getattr(own, item.name)
        inherited = getattr(config.defaults, item.name)
        values[item.name] = inherited if value is None else value
    return StepConfig(**values)


def check_step_names(config: KubeflowConfig, steps: Iterable[str]) -> None:
    """Rejects settings of steps that the graph does not have.

    Raises:
      UsageError: A name in `kubeflow.steps` is unknown.
    """
    known = sorted(steps)
    for name in config.steps:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise UsageError(
                f"kubeflow.steps.{name}: the pipeline has no step {name!r}",
                f"{f'Did you mean {near[0]}? ' if near else ''}"
                f"Steps: {', '.join(known)}.",
            )


def set_resources(spec: Spec, config: KubeflowConfig) -> None:
    """Sets image, cores, memory and accelerators.

    Requests equal limits, so that a step is not evicted for using what it requested.
    """
    for name, container in containers(spec):
        step = step_config(config, name)
        container["image"] = step.image or config.image
        resources: dict[str, Any] = {}
        if step.cpu is not None:
            resources |= {"cpuLimit": step.cpu, "cpuRequest": step.cpu}
        if step.memory_gb is not None:
            resources |= {
                "memoryLimit": step.memory_gb,
                "memoryRequest": step.memory_gb,
            }
        if step.gpus:
            # 64-bit integers are strings in the JSON form of protobuf.
            count = str(step.gpus)
            resources["accelerator"] = {"type": config.gpu_type, "count": count}
        if resources:
            container["resources"] = resources


def set_environment(spec: Spec, config: KubeflowConfig) -> None:
    """Sets the environment variables that are not secret."""
    for _, container in containers(spec):
        if config.env:
            container["env"] = [
                {"name": name, "value": value} for name, value in config.env.items()
            ]


def set_retries(spec: Spec, config: KubeflowConfig) -> None:
    """Retries failed steps with exponential backoff."""
    for name, task in tasks(spec).items():
        retries = step_config(config, name).retries
        if retries:
            task["retryPolicy"] = {"maxRetryCount": retries, **_BACKOFF}


def set_caching(spec: Spec, config: KubeflowConfig, never: Iterable[str]) -> None:
    """Sets caching in the compiled file.

    A client's `enable_caching` is dropped when the run names a pipeline and version.
    https://github.com/kubeflow/pipelines/issues/14253

    Args:
      spec: The pipeline.
      config: Which steps may use a cached result.
      never: Steps that must not, whatever the configuration says.
    """
    uncached = set(never)
    for name, task in tasks(spec).items():
        cached = step_config(config, name).cache is not False and name not in uncached
        task["cachingOptions"] = {"enableCache": True} if cached else {}


def platform_document(spec: Spec, config: KubeflowConfig) -> dict[str, Any]:
    """The second document of the file, with the settings that only Kubernetes has."""
    executors = {
        component_of(spec, tasks(spec)[name])["executorLabel"]: _kubernetes(
            config, name
        )
        for name, _ in containers(spec)
    }
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}


def _kubernetes(config: KubeflowConfig, name: str) -> dict[str, Any]:
    step = step_config(config, name)
    settings: dict[str, Any] = {
        "imagePullPolicy": config.image_pull_policy,
        "imagePullSecret": [{"secretName": s} for s in config.image_pull_secrets],
        "nodeSelector": {"labels": dict(step.node_selector or {})},
        "tolerations": [_toleration(item) for item in step.tolerations or ()],
        "secretAsEnv": [
            {
                "secretName": secret.secret,
                "keyToEnv": [{"secretKey": secret.key, "envVar": secret.variable}],
            }
            for secret in config.secrets
        ],
        "pvcMount": [
            {"constant": volume.claim, "mountPath": volume.path}
            for volume in config.volumes
        ],
    }
    if step.timeout_seconds is not None:
        settings["activeDeadlineSeconds"] = str(step.timeout_seconds)
    empty: tuple[Any, ...] = ([], {"labels": {}})
    return {key: value for key, value in settings.items() if value not in empty}


def _toleration(item: Any) -> dict[str, str]:
    return {key: value for key, value in dataclasses.asdict(item).items() if value}
