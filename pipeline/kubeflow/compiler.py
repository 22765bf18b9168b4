"""`create_pipeline` -> the file that an open-source Kubeflow Pipelines server runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import yaml

from pipeline.config import PipelineConfig
from pipeline.kubeflow import spec_patches as mends
from pipeline.kubeflow import step_settings
from pipeline.kubeflow.ratings_importer import import_ratings
from pipeline.kubeflow.validation import rules
from pipeline.kubeflow_runner import INPUT_BASE, SPAN, bare_spec
from trainer.errors import UsageError, UserError

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
      A pipeline that passes `pipeline.kubeflow.validation.rules`.

    Raises:
      UsageError: `kubeflow.steps` names a step that the graph does not have.
    """
    spec, drivers = bare_spec(config)
    settings = config.kubeflow
    step_settings.check_step_names(settings, mends.tasks(spec))
    mends.refuse_what_no_server_runs(spec)
    for mend in mends_of(
        config, spec, drivers, pinned_span=pinned_span, no_cache=no_cache
    ):
        mend(spec)
    return Compiled(spec, step_settings.platform_document(spec, settings))


def mends_of(
    config: PipelineConfig,
    spec: mends.Spec,
    drivers: Mapping[str, str],
    *,
    pinned_span: bool,
    no_cache: bool = False,
) -> list[partial[None]]:
    """All that is done to the stock pipeline, in order; each takes the PipelineSpec."""
    settings = config.kubeflow
    defaults = {INPUT_BASE: settings.input_base}
    if not pinned_span:
        defaults[SPAN] = config.data.last_span or _LATEST
    uncached = [] if pinned_span else [_EXAMPLE_GEN]
    if no_cache:
        uncached = list(mends.tasks(spec))
    return [
        partial(mends.run_our_entrypoint),
        partial(mends.name_as_the_sdk_does),
        partial(mends.run_driver_in_the_step, drivers=drivers),
        partial(mends.name_the_step),
        partial(mends.rename_condition_keys),
        partial(mends.name_real_producers),
        partial(mends.drop_null_metadata),
        partial(mends.show_the_report),
        partial(mends.set_pipeline_root, pipeline_root=settings.pipeline_root),
        partial(mends.set_parameter_defaults, defaults=defaults),
        partial(step_settings.set_resources, config=settings),
        partial(step_settings.set_environment, config=settings),
        partial(step_settings.set_retries, config=settings),
        partial(step_settings.set_caching, config=settings, never=uncached),
        partial(
            import_ratings,
            reader=_EXAMPLE_GEN,
            parameter=INPUT_BASE,
            place=settings.input_base,
        ),
    ]


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
