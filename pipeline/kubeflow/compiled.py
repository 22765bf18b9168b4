"""The compiled pipeline: its parts and its file formats."""

from __future__ import annotations

import json
from collections import ChainMap
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import yaml

from pipeline.config import PipelineConfig
from trainer.errors import UsageError

# The server takes no larger file (`MaxFileLength`).
MAX_BYTES: Final = 32 << 20
# Of a file whose aliases are written out; ours have some 3,000.
_MAX_NODES: Final = 1_000_000
_SPEC_KEYS: Final = ("pipelineInfo", "root", "deploymentSpec", "schemaVersion")


class Graph(NamedTuple):
    """Tasks by name, and the definitions of the inputs of the graph itself."""

    tasks: dict[str, Any]
    inputs: dict[str, Any]


@dataclass(frozen=True)
class CompiledPipeline:
    """The documents of a compiled file, as nested dicts like their YAML.

    Properties and methods return the parts themselves, to read or to change them; a
    part that is missing is empty.

    Attributes:
      spec: The PipelineSpec.
      platform: The second document, with the settings that only Kubernetes has.
    """

    spec: dict[str, Any]
    platform: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_yaml(cls, text: str) -> CompiledPipeline:
        """Reads a file as the server does (`v2_template.go`).

        Raises:
          ValueError: The file does not hold one pipeline, or is too large or nested.
        """
        if len(text) > MAX_BYTES:
            raise ValueError(f"size: the file has more than {MAX_BYTES:,} characters")
        try:
            loaded = [item for item in yaml.safe_load_all(text) if item is not None]
            nodes = _count(loaded, {})
        # An impossible date is a ValueError, and a list as a key a TypeError.
        except (yaml.YAMLError, ValueError, TypeError) as error:
            raise ValueError(f"yaml: {' '.join(str(error).split())}") from error
        except RecursionError as error:
            raise ValueError(
                "yaml: the file is nested too deeply, or an alias holds itself"
            ) from error
        if nodes > _MAX_NODES:
            raise ValueError(
                f"yaml: with its aliases the file has {nodes:,} values, more than "
                f"{_MAX_NODES:,}"
            )
        maps = [item for item in loaded if isinstance(item, dict)]
        specs = [item for item in maps if any(key in item for key in _SPEC_KEYS)]
        platforms = [item for item in maps if "platforms" in item]
        if len(maps) != len(loaded) or len(specs) + len(platforms) != len(maps):
            if any("pipelineSpec" in item for item in maps):
                raise ValueError(
                    "document: a PipelineJob, which only Vertex AI accepts"
                )
            raise ValueError("document: the file holds no pipeline")
        if len(specs) != 1 or len(platforms) > 1:
            counts = f"{len(specs)} pipelines and {len(platforms)} platform documents"
            raise ValueError(f"document: the file holds {counts}, not 1 and 0 or 1")
        return cls(specs[0], *platforms)

    def graphs(self) -> Iterator[Graph]:
        """Yields the outermost graph, and the graphs in it."""
        root = self.spec.get("root", {})
        for graph in (root, *(c for c in self.components.values() if "dag" in c)):
            yield Graph(_get(graph, "dag", "tasks"), graph.get("inputDefinitions", {}))

    @property
    def tasks(self) -> dict[str, Any]:
        """Task name -> task, to change only while there is but one graph."""
        first, *others = (graph.tasks for graph in self.graphs())
        return first if not others else dict(ChainMap(first, *others))

    def steps(self) -> list[str]:
        """Names of the tasks that run themselves, and are no graphs of others."""
        return [name for name in self.tasks if "dag" not in self.component(name)]

    @property
    def parameters(self) -> dict[str, Any]:
        """Name -> definition of the pipeline's parameters."""
        return _get(self.spec, "root", "inputDefinitions", "parameters")

    @property
    def components(self) -> dict[str, Any]:
        """Name -> component."""
        return _get(self.spec, "components")

    @property
    def executors(self) -> dict[str, Any]:
        """Label -> executor."""
        return _get(self.spec, "deploymentSpec", "executors")

    def component(self, task: str) -> dict[str, Any]:
        """The component of a task."""
        name = _get(self.tasks, task, "componentRef").get("name", "")
        return _get(self.components, name)

    def executor(self, task: str) -> dict[str, Any]:
        """The executor of a task."""
        return _get(self.executors, self.component(task).get("executorLabel", ""))

    def containers(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yields task name and container."""
        for task in self.tasks:
            if "container" in self.executor(task):
                yield task, self.executor(task)["container"]

    def to_yaml(self) -> str:
        """The documents; the same text for the same pipeline."""
        documents = filter(None, (self.spec, self.platform))
        return yaml.safe_dump_all(documents, sort_keys=True)

    def to_vertex_json(self) -> str:
        """The PipelineJob that Vertex AI accepts; see `check_vertex`."""
        job = {
            "displayName": self.spec["pipelineInfo"]["name"],
            "pipelineSpec": self.spec,
            "runtimeConfig": {"gcsOutputDirectory": self.spec["defaultPipelineRoot"]},
        }
        return json.dumps(job, indent=2, sort_keys=True) + "\n"


def _count(content: Any, known: dict[int, int]) -> int:
    """Counts the values of a document, those behind an alias each time it is used.

    Args:
      content: The document.
      known: Id of a list or map -> its values; changed.
    """
    if not isinstance(content, dict | list):
        return 1
    if id(content) not in known:
        items = content.values() if isinstance(content, dict) else content
        known[id(content)] = 1 + sum(_count(item, known) for item in items)
    return known[id(content)]


def _get(content: Any, *keys: str) -> dict[str, Any]:
    """The dict at a path of keys; empty if one is missing."""
    for key in keys:
        content = content.get(key, {})
    return content


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
    for name in ("webhooks", "emails", "commands"):
        if getattr(config.notify, name):
            raise UsageError(
                f"notify.{name} is set, but the secrets of notifications come from "
                "Kubernetes, which Vertex AI does not have",
                f"Give --set 'notify.{name}=[]'.",
            )
