"""The TFJob by whose pods the Trainer step trains, if `train.workers` is more than 1.

The step is compiled with the job as a variable, adds a name and the workers' argument,
and waits for it: `trainer.workers.cluster`.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Final

from pipeline.config import PipelineConfig
from pipeline.kubeflow.compiled import CompiledPipeline
from pipeline.kubeflow.config import KubeflowConfig, StepConfig
from pipeline.kubeflow.step_settings import step_config
from trainer.errors import UsageError
from trainer.workers.cluster import GROUP, JOB_VARIABLE, VERSION

TRAINER: Final = "Trainer"
# The operator gives `TF_CONFIG` to the container of this name.
CONTAINER: Final = "tensorflow"
# Of the pods that train together: the network policy names it.
LABEL: Final = {"app.kubernetes.io/name": "two-tower-training"}
# While others train, the step copies files and waits.
_WAITING: Final = StepConfig(cpu=1.0, memory_gb=4.0, gpus=0)
_DAY_SECONDS: Final = 86400


def has_job(config: PipelineConfig) -> bool:
    """Returns whether the Trainer step hands over to other pods."""
    return config.train.workers > 1


def with_small_step(settings: KubeflowConfig) -> KubeflowConfig:
    """The settings with resources of a Trainer step that only waits."""
    own = settings.steps.get(TRAINER, StepConfig())
    # The node that it waits on needs no accelerator.
    step = dataclasses.replace(
        _WAITING,
        image=own.image,
        retries=own.retries,
        timeout_seconds=own.timeout_seconds,
        cache=own.cache,
    )
    return dataclasses.replace(settings, steps={**settings.steps, TRAINER: step})


def declare(pipeline: CompiledPipeline, config: PipelineConfig) -> None:
    """Passes the job to the Trainer step.

    Args:
      pipeline: The pipeline; changed.
      config: How many workers, and what each pod needs.

    Raises:
      UsageError: `kubeflow.training_dir` is in no volume.
    """
    settings = config.kubeflow
    mounts = [volume.path.rstrip("/") + "/" for volume in settings.volumes]
    if not any(f"{settings.training_dir}/".startswith(mount) for mount in mounts):
        raise UsageError(
            f"kubeflow.training_dir is {settings.training_dir}, which is in no volume "
            "of kubeflow.volumes: the workers would not see the files of the step",
            "Change it, or set train.workers=1.",
        )
    job = {
        "folder": settings.training_dir,
        "manifest": manifest(settings, config.train.workers),
    }
    container = pipeline.executor(TRAINER)["container"]
    container.setdefault("env", []).append(
        {"name": JOB_VARIABLE, "value": json.dumps(job, sort_keys=True)}
    )


def manifest(settings: KubeflowConfig, workers: int) -> dict[str, Any]:
    """The TFJob, but for its name and the arguments of its container.

    Exit codes from 128 on, among them that of a killed process, start a pod again;
    others, those of errors in data or configuration, end the job.
    """
    step = step_config(settings, TRAINER)
    policy: dict[str, Any] = {
        "cleanPodPolicy": "Running",
        "ttlSecondsAfterFinished": _DAY_SECONDS,
    }
    if step.timeout_seconds is not None:
        policy["activeDeadlineSeconds"] = step.timeout_seconds
    worker = {
        "replicas": workers,
        "restartPolicy": "ExitCode",
        "template": {
            # A proxy of a service mesh never ends, and TensorFlow's own protocol would
            # have to pass it.
            "metadata": {
                "labels": LABEL,
                "annotations": {"sidecar.istio.io/inject": "false"},
            },
            "spec": _pod(settings, step),
        },
    }
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "TFJob",
        "metadata": {"labels": {"app.kubernetes.io/part-of": "two-tower"}},
        "spec": {"runPolicy": policy, "tfReplicaSpecs": {"Worker": worker}},
    }


def _pod(settings: KubeflowConfig, step: StepConfig) -> dict[str, Any]:
    """A pod that the profile "restricted" admits."""
    restricted = {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    user = settings.run_as_user
    ids = {} if user is None else {"runAsUser": user, "runAsGroup": user}
    pod: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {**restricted, **ids, **({"fsGroup": user} if user else {})},
        "imagePullSecrets": [{"name": name} for name in settings.image_pull_secrets],
        "nodeSelector": dict(step.node_selector or {}),
        "tolerations": [
            {key: value for key, value in dataclasses.asdict(one).items() if value}
            for one in step.tolerations or ()
        ],
        "volumes": [
            {
                "name": f"volume-{index}",
                "persistentVolumeClaim": {"claimName": volume.claim},
            }
            for index, volume in enumerate(settings.volumes)
        ],
        "containers": [
            {
                "name": CONTAINER,
                "image": step.image or settings.image,
                "imagePullPolicy": settings.image_pull_policy,
                "command": ["python", "-m", "trainer.workers"],
                "env": _variables(settings),
                "resources": _resources(settings, step),
                "securityContext": {
                    **restricted,
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [
                    {"name": f"volume-{index}", "mountPath": volume.path}
                    for index, volume in enumerate(settings.volumes)
                ],
            }
        ],
    }
    return {key: value for key, value in pod.items() if value not in ([], {})}


def _variables(settings: KubeflowConfig) -> list[dict[str, Any]]:
    quiet = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "1"}
    plain = {**quiet, **settings.env}
    secrets = [
        {
            "name": secret.variable,
            "valueFrom": {"secretKeyRef": {"name": secret.secret, "key": secret.key}},
        }
        for secret in settings.secrets
    ]
    return [{"name": k, "value": v} for k, v in plain.items()] + secrets


def _resources(settings: KubeflowConfig, step: StepConfig) -> dict[str, Any]:
    """Requests equal limits, as for the steps."""
    limits: dict[str, str] = {}
    if step.cpu is not None:
        limits["cpu"] = f"{step.cpu:g}"
    if step.memory_gb is not None:
        limits["memory"] = f"{round(step.memory_gb * 1000)}M"
    if step.gpus:
        limits[settings.gpu_type] = str(step.gpus)
    return {"limits": limits, "requests": dict(limits)} if limits else {}
