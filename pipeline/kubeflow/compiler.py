"""`create_pipeline` -> the file that an open-source Kubeflow Pipelines server runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import yaml

from pipeline.config import PipelineConfig
from pipeline.errors import UsageError, UserError
from pipeline.kubeflow import mends, rules, step_settings

INPUT_BASE: Final = "input_base"
SPAN: Final = "span"
ENTRYPOINT: Final = ("python", "-m", "pipeline.kubeflow.step")
_EXAMPLE_GEN: Final = "MovieLensExampleGen"
_LATEST: Final = "latest"


@dataclass(frozen=True)
class Compiled:
    """A compiled pipeline.

    Attributes:
      spec: The PipelineSpec.
      platform: The document of Kubernetes' settings.
    """

    spec: dict[str, Any]
    platform: dict[str, Any]

    def check(self) -> None:
        """Refuses to hand out what a server would refuse.

        Raises:
          UserError: A rule is broken, which a setting must have caused.
        """
        problems = rules.check(self.to_yaml(), given=(SPAN,)).problems
        if problems:
            raise UserError(
                "The compiled pipeline breaks the server's rules: "
                + "; ".join(map(str, problems)),
                "Change the section `kubeflow` of the configuration.",
            )

    def to_yaml(self) -> str:
        """Both documents, the same text for the same pipeline."""
        return yaml.safe_dump_all([self.spec, self.platform], sort_keys=True)

    def to_vertex_json(self, pipeline_root: str) -> str:
        """The PipelineJob that Vertex AI takes."""
        job = {
            "displayName": self.spec["pipelineInfo"]["name"],
            "pipelineSpec": self.spec,
            "runtimeConfig": {"gcsOutputDirectory": pipeline_root},
        }
        return json.dumps(job, indent=2, sort_keys=True) + "\n"


def compile_pipeline(
    config: PipelineConfig, *, pinned_span: bool = False, no_cache: bool = False
) -> Compiled:
    """Compiles the one graph for Kubeflow.

    Args:
      config: What is computed, and what the steps need.
      pinned_span: Whether every run must name its span. Only then may ExampleGen take
        an earlier result: a server knows parameters, not what lies in a folder, so
        "the newest span" would be the same key on every day.
      no_cache: Whether no step may take an earlier result.

    Returns:
      A pipeline that passes `pipeline.kubeflow.rules`.

    Raises:
      UsageError: `kubeflow.steps` names a step that the graph does not have.
    """
    spec, drivers = stock_spec(config)
    settings = config.kubeflow
    step_settings.check_step_names(settings, mends.tasks(spec))
    mends.refuse_what_no_server_runs(spec)
    mends.name_as_the_sdk_does(spec)
    mends.run_driver_in_the_step(spec, drivers)
    mends.name_the_step(spec)
    mends.rename_condition_keys(spec)
    mends.name_real_producers(spec)
    mends.drop_null_metadata(spec)
    mends.set_pipeline_root(spec, settings.pipeline_root)
    defaults = {INPUT_BASE: settings.input_base}
    if not pinned_span:
        defaults[SPAN] = config.data.last_span or _LATEST
    mends.set_parameter_defaults(spec, defaults)
    step_settings.set_resources(spec, settings)
    step_settings.set_environment(spec, settings)
    step_settings.set_retries(spec, settings)
    never = [] if pinned_span else [_EXAMPLE_GEN]
    step_settings.set_caching(
        spec, settings, list(mends.tasks(spec)) if no_cache else never
    )
    return Compiled(spec, step_settings.platform_document(spec, settings))


def stock_spec(config: PipelineConfig) -> tuple[dict[str, Any], dict[str, str]]:
    """What TFX itself makes of the graph.

    Returns:
      The PipelineSpec, and the driver's class of each node that has one of its own.
    """
    from pipeline.kubeflow.quiet import quietly

    with quietly():
        return _stock_spec(config)


def _stock_spec(config: PipelineConfig) -> tuple[dict[str, Any], dict[str, str]]:
    from tfx.components import FileBasedExampleGen
    from tfx.orchestration.data_types import RuntimeParameter
    from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner as runner

    from pipeline.fingerprints import code_fingerprints
    from pipeline.local_runner import BEAM_ARGS
    from pipeline.pipeline import create_pipeline

    pipeline = create_pipeline(
        config,
        pipeline_root=config.kubeflow.pipeline_root or "",
        input_base=RuntimeParameter(name=INPUT_BASE, ptype=str),
        # The files are not here: the driver hashes them in the step.
        content_fingerprint="",
        serving_dir=config.kubeflow.serving_dir,
        fingerprints=code_fingerprints(config),
        span=RuntimeParameter(name=SPAN, ptype=str),
        beam_pipeline_args=BEAM_ARGS,
    )
    job = runner.KubeflowV2DagRunner(
        config=runner.KubeflowV2DagRunnerConfig(
            default_image=config.kubeflow.image,
            default_commands=list(ENTRYPOINT),
            use_pipeline_spec_2_1=True,
        )
    ).run(pipeline, write_out=False)
    drivers = {
        node.id: _class_path(node.driver_class)
        for node in pipeline.components
        if isinstance(node, FileBasedExampleGen)
    }
    return job["pipelineSpec"], drivers


def _class_path(driver: Callable[..., Any]) -> str:
    return f"{driver.__module__}.{driver.__qualname__}"


def check_vertex(config: PipelineConfig) -> None:
    """Refuses what Vertex AI does not have.

    Raises:
      UsageError: A place is not at gs://, or a setting is one of Kubernetes' own.
    """
    settings = config.kubeflow
    for name in ("pipeline_root", "input_base", "serving_dir"):
        place = getattr(settings, name)
        if place is None or not place.startswith("gs://"):
            raise UsageError(
                f"kubeflow.{name} is {place}, but Vertex AI knows only gs://",
                f"Set kubeflow.{name} to a folder of a bucket.",
            )
    for name in ("volumes", "secrets", "image_pull_secrets"):
        if getattr(settings, name):
            raise UsageError(
                f"kubeflow.{name} is set, which Vertex AI does not have",
                f"Give --set 'kubeflow.{name}=[]'.",
            )
