"""Resources, retries, caching, environment and node placement of the steps.

TFX has no settings for most of these, and ignores the rest for a file-based ExampleGen,
so they are written into the compiled file. Those that only Kubernetes has go into a
second document, `platforms`, keyed by the executor's label.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, Final

from pipeline.kubeflow.compiled import CompiledPipeline
from pipeline.kubeflow.config import KubeflowConfig, SecretVariable, StepConfig
from trainer.errors import UsageError

_BACKOFF: Final = {
    "backoffDuration": "60s",
    "backoffFactor": 2.0,
    "backoffMaxDuration": "3600s",
}


def step_config(config: KubeflowConfig, step: str) -> StepConfig:
    """The settings of a step: its own over the defaults."""
    own = vars(config.steps.get(step, StepConfig()))
    given = {name: value for name, value in own.items() if value is not None}
    return dataclasses.replace(config.defaults, **given)


def check_step_names(config: KubeflowConfig, steps: Collection[str]) -> None:
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


def set_container_options(pipeline: CompiledPipeline, config: KubeflowConfig) -> None:
    """Sets image, cores, memory, accelerators and variables that are not secret.

    Requests equal limits, so that a step is not evicted for using what it requested.
    """
    for name, container in pipeline.containers():
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
        if config.env:
            container["env"] = [
                {"name": name, "value": value} for name, value in config.env.items()
            ]


def set_task_options(
    pipeline: CompiledPipeline, config: KubeflowConfig, uncached: Collection[str]
) -> None:
    """Sets retries of failed steps, with exponential backoff, and caching.

    A client's `enable_caching` is dropped when the run names a pipeline and version.
    https://github.com/kubeflow/pipelines/issues/14253

    Args:
      pipeline: The pipeline; changed.
      config: The settings of the steps.
      uncached: Steps that never use a cached result, whatever the settings are.
    """
    for name, task in pipeline.tasks.items():
        step = step_config(config, name)
        if step.retries:
            task["retryPolicy"] = {"maxRetryCount": step.retries, **_BACKOFF}
        cached = step.cache is not False and name not in uncached
        task["cachingOptions"] = {"enableCache": True} if cached else {}


def platform_document(
    pipeline: CompiledPipeline,
    config: KubeflowConfig,
    hidden: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> dict[str, Any]:
    """The second document of the file, with the settings that only Kubernetes has.

    Args:
      pipeline: The pipeline.
      config: The settings of the steps.
      hidden: Secret variable -> the only steps that get it; all get the others.
    """
    executors = {
        pipeline.component(name)["executorLabel"]: _kubernetes(
            config,
            step_config(config, name),
            [s for s in config.secrets if name in hidden.get(s.variable, (name,))],
        )
        for name, _ in pipeline.containers()
    }
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}


def _kubernetes(
    config: KubeflowConfig, step: StepConfig, secrets: Collection[SecretVariable]
) -> dict[str, Any]:
    tolerations = map(dataclasses.asdict, step.tolerations or ())
    settings: dict[str, Any] = {
        "imagePullPolicy": config.image_pull_policy,
        "imagePullSecret": [{"secretName": s} for s in config.image_pull_secrets],
        "nodeSelector": {"labels": dict(step.node_selector or {})},
        "tolerations": [
            {key: value for key, value in toleration.items() if value}
            for toleration in tolerations
        ],
        "secretAsEnv": [
            {
                "secretName": secret.secret,
                "keyToEnv": [{"secretKey": secret.key, "envVar": secret.variable}],
            }
            for secret in secrets
        ],
        "pvcMount": [
            {"constant": volume.claim, "mountPath": volume.path}
            for volume in config.volumes
        ],
    }
    if config.run_as_user is not None:
        # Servers since 2.16 add the rest of what `restricted` wants: no capabilities,
        # no escalation of privileges, the default seccomp profile.
        user = str(config.run_as_user)
        settings["securityContext"] = {
            "runAsUser": user,
            "runAsGroup": user,
            "runAsNonRoot": True,
        }
    if step.timeout_seconds is not None:
        settings["activeDeadlineSeconds"] = str(step.timeout_seconds)
    empty: tuple[Any, ...] = ([], {"labels": {}})
    return {key: value for key, value in settings.items() if value not in empty}
