"""The compiled pipeline: its documents, its file formats and the final check."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import yaml

from pipeline.config import PipelineConfig
from pipeline.kubeflow.config import SPAN_PARAMETER
from pipeline.kubeflow.validation import rules
from trainer.errors import UsageError, UserError


@dataclass(frozen=True)
class CompiledPipeline:
    """A pipeline as `pipeline.kubeflow_runner.compile_pipeline` makes it.

    Attributes:
      spec: The PipelineSpec.
      platform: The second document, with the settings that only Kubernetes has.
    """

    spec: dict[str, Any]
    platform: dict[str, Any]

    def check(self) -> None:
        """Applies the rules by which a server accepts and runs a file.

        Raises:
          UserError: A rule is broken, because of a setting in `kubeflow`.
        """
        problems = rules.check(self.to_yaml(), given=(SPAN_PARAMETER,)).problems
        if problems:
            raise UserError(
                "A Kubeflow Pipelines server would reject the compiled pipeline: "
                + "; ".join(map(str, problems)),
                "Change the section `kubeflow` of the configuration.",
            )

    def to_yaml(self) -> str:
        """Both documents; the same text for the same pipeline."""
        return yaml.safe_dump_all([self.spec, self.platform], sort_keys=True)

    def to_vertex_json(self, pipeline_root: str) -> str:
        """The PipelineJob that Vertex AI accepts.

        Args:
          pipeline_root: Folder of a bucket for the artifacts.
        """
        job = {
            "displayName": self.spec["pipelineInfo"]["name"],
            "pipelineSpec": self.spec,
            "runtimeConfig": {"gcsOutputDirectory": pipeline_root},
        }
        return json.dumps(job, indent=2, sort_keys=True) + "\n"


def check_vertex(config: PipelineConfig) -> None:
    """Rejects a configuration that Vertex AI cannot run.

    Raises:
      UsageError: A folder is not at gs://, or a setting exists only in Kubernetes.
    """
    settings = config.kubeflow
    for name in ("pipeline_root", "input_base", "serving_dir"):
        location = getattr(settings, name)
        if location is None or not location.startswith("gs://"):
            raise UsageError(
                f"kubeflow.{name} is {location or 'not set'}, but Vertex AI reads and "
                "writes only at gs://",
                f"Set kubeflow.{name} to a folder of a bucket.",
            )
    for name in ("volumes", "secrets", "image_pull_secrets"):
        if getattr(settings, name):
            raise UsageError(
                f"kubeflow.{name} is set, which Vertex AI does not have",
                f"Give --set 'kubeflow.{name}=[]'.",
            )
