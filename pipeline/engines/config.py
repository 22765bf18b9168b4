"""`EngineConfig`: where Apache Beam runs the steps that can be distributed.

Nothing here changes the results, and no part of it is in a cache key.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic.dataclasses import dataclass

from trainer.config import FROZEN, PositiveInt

Runner = Literal["local", "multiprocess", "portable", "flink", "spark", "dataflow"]
Environment = Literal["external", "docker", "process", "loopback"]
Address = Annotated[str, Field(pattern=r"^\S+$")]
OptionName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]

# Engines whose workers are other processes, perhaps on other machines.
DISTRIBUTED: Final = ("portable", "flink", "spark", "dataflow")
# Key -> runners that have it; the others have them all.
_OWNERS: Final[Mapping[str, tuple[Runner, ...]]] = {
    "master": ("portable", "flink", "spark"),
    "web_url": ("flink", "spark"),
    "version": ("flink", "spark"),
    "parallelism": ("multiprocess", "portable", "flink", "spark", "dataflow"),
    "environment": ("portable", "flink", "spark"),
    "environment_config": ("portable", "flink", "spark", "dataflow"),
    "shared_dir": ("portable", "flink", "spark", "dataflow"),
    "job_server_jar": ("flink", "spark"),
    "timeout_seconds": ("portable", "flink", "spark", "dataflow"),
}
_MASTERS: Final = {
    "flink": (r"host:port of the JobManager's REST API, such as jobmanager:8081"),
    "spark": "the master's address, such as spark://master:7077",
    "portable": "host:port of a job server, or `embed` for one in this process",
}


class EngineError(ValueError):
    """A value that the engine cannot have.

    Attributes:
      remedy: What to do about it.
    """

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def _version(value: Any) -> Any:
    """Reads a version that YAML took for a number: 1.20 is 1.2 there."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    from pipeline.engines.known_options import versions

    same = [text for text in versions("flink") if float(text) == value]
    return same[0] if same else f"{value}"


def _option_value(value: Any) -> Any:
    """Accepts what one option, or a repeated one, can be given."""
    items = value if isinstance(value, list | tuple) else [value]
    if any(not isinstance(item, str | int | float) for item in items):
        raise EngineError(
            f"engine.options has the value {value!r}, which is not a text, number, "
            "true, or list of these",
            "Write a JSON value as a text in quotes.",
        )
    return tuple(map(str, items)) if isinstance(value, list | tuple) else value


OptionValue = Annotated[Any, BeforeValidator(_option_value)]


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class EngineConfig:
    """Where the distributed steps run; `two-tower run --engine NAME` sets the runner.

    Attributes:
      runner: `local` is Beam in the process of the step, `multiprocess` several
        processes on this machine, `portable` any server of Beam's job API, and the
        others are clusters.
      master: `flink`: host:port of the JobManager's REST API. `spark`: the master,
        spark://host:port. `portable`: host:port of a job server, or `embed` for Beam's
        own in the step's process.
      web_url: Where the cluster says what is free: Flink's REST API or the page of
        Spark's master; by default `master`, and port 8080 of its host for Spark.
      version: Version of the cluster, such as 1.18 of Flink; by default the newest that
        the installed Beam supports.
      parallelism: Parts of the work at the same time; 0 for the engine's own default,
        and for one process per core with `multiprocess`.
      environment: What runs our code for the engine: `external` is a worker pool
        beside each of its workers (`two-tower worker-pool`), `docker` a container,
        `process` a command, `loopback` this process.
      environment_config: `external`: host:port of the worker pool as the engine's
        workers see it. `docker` and Dataflow: the image. `process`: a JSON object with
        the key `command`.
      shared_dir: Folder that this machine and all workers see at the same path, or at
        gs:// for Dataflow: for temporary and staged files.
      job_server_jar: Path or URL of Beam's job server for the cluster; by default Beam
        downloads it from Maven Central.
      timeout_seconds: How long to wait for a free slot of the cluster, or for a
        cluster or worker pool that does not answer.
      options: Further Beam options, name -> value: a list repeats the option, and true
        gives one that has no value.
    """

    runner: Runner = "local"
    master: Address | None = None
    web_url: Annotated[str, Field(pattern=r"^https?://[^\s@]+$")] | None = None
    version: Annotated[str | None, BeforeValidator(_version)] = None
    parallelism: Annotated[int, Field(ge=0)] = 0
    environment: Environment = "external"
    environment_config: Annotated[str, Field(min_length=1)] | None = None
    shared_dir: Address | None = None
    job_server_jar: Address | None = None
    timeout_seconds: PositiveInt = 300
    options: Mapping[OptionName, OptionValue] = Field(default_factory=dict)

    @property
    def is_distributed(self) -> bool:
        """Whether workers may be on other machines."""
        return self.runner in DISTRIBUTED

    @model_validator(mode="after")
    def _check(self) -> EngineConfig:
        self._check_owners()
        self._check_needed()
        if self.options or self.version:
            # Only this asks Beam, whose import takes seconds.
            from pipeline.engines.beam_options import check_options, check_version

            check_version(self)
            check_options(self)
        return self

    def _check_owners(self) -> None:
        defaults = {item.name: item.default for item in dataclasses.fields(self)}
        for key, owners in _OWNERS.items():
            value = getattr(self, key)
            if self.runner not in owners and value != defaults[key]:
                raise EngineError(
                    f"engine.{key} is {value}, but engine.runner is {self.runner}, "
                    f"and only {', '.join(owners)} can have it",
                    "Remove it, or choose another runner with --engine.",
                )

    def _check_needed(self) -> None:
        if self.runner in _MASTERS and self.master is None:
            raise EngineError(
                f"engine.master is missing: {_MASTERS[self.runner]}",
                "Set engine.master.",
            )
        if self.runner == "spark" and not f"{self.master}".startswith("spark://"):
            raise EngineError(
                f"engine.master is {self.master}, but Spark's is "
                f"{_MASTERS['spark'][13:]}",
                "Change engine.master.",
            )
        if self.runner in ("flink", "portable"):
            self._check_host_and_port()
        if self.is_distributed and self.runner != "dataflow":
            self._check_environment()
        if self.runner in ("flink", "spark") and self.shared_dir is None:
            raise EngineError(
                f"engine.shared_dir is missing: {self.runner} needs a folder that this "
                "machine and all workers see at the same path",
                "Set engine.shared_dir.",
            )
        if self.runner == "dataflow":
            self._check_dataflow()

    def _check_host_and_port(self) -> None:
        host, _, port = f"{self.master}".rpartition(":")
        is_address = host and "/" not in host and port.isdecimal()
        if not is_address and not (self.runner == "portable" and host == ""):
            raise EngineError(
                f"engine.master is {self.master}, but it must be "
                f"{_MASTERS[self.runner]}",
                "Change engine.master.",
            )

    def _check_environment(self) -> None:
        needed = {
            "external": "host:port of the worker pool beside each worker",
            "docker": "the image",
            "process": 'a JSON object such as {"command": "/opt/worker"}',
        }
        if self.environment in needed and self.environment_config is None:
            raise EngineError(
                f"engine.environment is {self.environment}, but "
                f"engine.environment_config is missing: {needed[self.environment]}",
                "Set engine.environment_config.",
            )

    def _check_dataflow(self) -> None:
        missing = [name for name in ("project", "region") if name not in self.options]
        if missing:
            raise EngineError(
                f"engine.options.{missing[0]} is missing, which Dataflow needs",
                "Set engine.options.project and engine.options.region.",
            )
        if not f"{self.shared_dir}".startswith("gs://"):
            raise EngineError(
                f"engine.shared_dir is {self.shared_dir}, but Dataflow keeps staged "
                "and temporary files at gs://",
                "Set engine.shared_dir to a folder of a bucket.",
            )
        if self.environment_config is None:
            raise EngineError(
                "engine.environment_config is missing: the image of Dataflow's workers",
                "Set it to an image made from kubeflow/Dockerfile.",
            )
