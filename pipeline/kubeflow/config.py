"""`KubeflowConfig`: image, resources, volumes and secrets of the steps on Kubeflow.

Nothing here changes the results. Secret values are never part of it: a `SecretVariable`
names a Kubernetes secret, whose value only the cluster knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from pipeline.secret_text import holds_secret, is_secret_name
from trainer.config import FROZEN, PositiveInt

# Parameters of a compiled pipeline, which each run can set.
INPUT_BASE_PARAMETER: Final = "input_base"
SPAN_PARAMETER: Final = "span"
Name = Annotated[str, Field(min_length=1)]
KubernetesName = Annotated[
    str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")
]
AbsolutePath = Annotated[str, Field(pattern=r"^/[^\s]+$")]
Location = Annotated[str, Field(pattern=r"^\S+$")]
Root = Annotated[str, Field(pattern=r"^(minio|s3|gs)://[^\s/]+(/[^\s]*)?$")]
EnvName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
# Setting -> stores that its folder may be in. TensorFlow opens only gs://; inputs from
# the others are downloaded by Kubeflow's launcher.
_STORES: Final = {
    "input_base": ("gs://", "s3://", "minio://"),
    "serving_dir": ("gs://",),
}


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class Toleration:
    """A toleration, as Kubernetes defines it: a step may run on nodes with this taint.

    Attributes:
      key: The taint's key; empty for all taints.
      operator: Whether the value must be equal or the key exist.
      value: The taint's value.
      effect: The taint's effect; empty for all.
    """

    key: str = ""
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class StepConfig:
    """Settings of one step. None inherits from `kubeflow.defaults`.

    Attributes:
      image: Container image.
      cpu: Cores, requested and limited.
      memory_gb: Memory in 10^9 bytes, requested and limited.
      gpus: Accelerators of the kind `kubeflow.gpu_type`.
      retries: How often a failed step is run again.
      timeout_seconds: Longest duration of a step.
      cache: Whether a cached result of the same inputs and parameters is used.
      node_selector: Labels that the node must have.
      tolerations: Taints that the node may have.
    """

    image: Name | None = None
    cpu: Annotated[float, Field(gt=0)] | None = None
    memory_gb: Annotated[float, Field(gt=0)] | None = None
    gpus: Annotated[int, Field(ge=0)] | None = None
    retries: Annotated[int, Field(ge=0, le=10)] | None = None
    timeout_seconds: PositiveInt | None = None
    cache: bool | None = None
    node_selector: Mapping[Name, str] | None = None
    tolerations: tuple[Toleration, ...] | None = None


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class SecretVariable:
    """An environment variable with a value from a Kubernetes secret.

    Attributes:
      variable: Name of the environment variable.
      secret: Name of the secret in the namespace of the runs.
      key: Key within the secret.
    """

    variable: EnvName
    secret: KubernetesName
    key: Name


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class Volume:
    """A persistent volume claim that every step mounts.

    Attributes:
      claim: Name of the claim in the namespace of the runs.
      path: Where it is mounted.
    """

    claim: KubernetesName
    path: AbsolutePath


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class StepDefaults(StepConfig):
    """Settings of steps without their own. None leaves a setting to the cluster."""

    cpu: Annotated[float, Field(gt=0)] | None = 2.0
    memory_gb: Annotated[float, Field(gt=0)] | None = 4.0
    gpus: Annotated[int, Field(ge=0)] | None = 0
    retries: Annotated[int, Field(ge=0, le=10)] | None = 2
    timeout_seconds: PositiveInt | None = 4 * 3600
    cache: bool | None = True


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class KubeflowConfig:
    """Settings of the steps for `two-tower compile`, `deploy` and `run --kubeflow`.

    Attributes:
      image: Container image of all steps; see `kubeflow/Dockerfile`.
      image_pull_policy: When a node asks the registry for the image.
      image_pull_secrets: Names of secrets with registry credentials.
      run_as_user: User and group of the steps, that of `kubeflow/Dockerfile`. Servers
        before 2.16 ignore it, and those before 2.5 accept no file with it: there, null.
      pipeline_root: Where artifacts are written; None for the server's default.
      input_base: Folder with the files of the edition or with its spans, in a volume
        or at gs://, s3:// or minio://. A run can set another one of the same kind.
      serving_dir: Folder that the model server watches, in a volume or at gs://.
      training_dir: Folder of a volume in which several workers (`train.workers`) get
        their inputs and leave checkpoints and the model.
      gpu_type: Name of the accelerator as Kubernetes knows it.
      defaults: Settings of all steps.
      steps: Node id -> settings that differ from the defaults.
      volumes: Claims that every step mounts.
      secrets: Environment variables that come from Kubernetes secrets.
      env: Environment variables that are not secret.
      ui_url: Address of Kubeflow's user interface as people open it, such as
        https://kubeflow.example.com/pipeline: notifications link to pages of runs.
    """

    image: Name = "two-tower:latest"
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    image_pull_secrets: tuple[KubernetesName, ...] = ()
    run_as_user: PositiveInt | None = 1000
    pipeline_root: Root | None = None
    input_base: Location = "/mnt/two-tower/data/ml-100k"
    serving_dir: Location = "/mnt/two-tower/serving"
    training_dir: AbsolutePath = "/mnt/two-tower/training"
    gpu_type: Name = "nvidia.com/gpu"
    defaults: StepDefaults = Field(default_factory=StepDefaults)
    steps: Mapping[str, StepConfig] = Field(default_factory=dict)
    volumes: tuple[Volume, ...] = (Volume(claim="two-tower", path="/mnt/two-tower"),)
    secrets: tuple[SecretVariable, ...] = ()
    env: Mapping[EnvName, str] = Field(default_factory=dict)
    ui_url: (
        Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$")] | None
    ) = None

    @model_validator(mode="after")
    def _check(self) -> KubeflowConfig:
        for variable, value in self.env.items():
            if is_secret_name(variable) or holds_secret(value):
                # The value is not shown: it may be one.
                raise ValueError(
                    f"kubeflow.env.{variable} looks like a secret, and all of env is "
                    "readable in the compiled file: name a Kubernetes secret in "
                    "kubeflow.secrets"
                )
        mounts = [volume.path.rstrip("/") + "/" for volume in self.volumes]
        for name, stores in _STORES.items():
            location = getattr(self, name)
            if not location.startswith(("/", *stores)):
                raise ValueError(
                    f"kubeflow.{name} is {location}, which no step can open: give a "
                    "folder of a volume in kubeflow.volumes, or at "
                    f"{' or '.join(stores)}"
                )
            if location.startswith("/") and not any(
                f"{location}/".startswith(mount) for mount in mounts
            ):
                raise ValueError(
                    f"kubeflow.{name} is {location}, which is in no volume of "
                    "kubeflow.volumes: its files would be lost with the container"
                )
        return self
