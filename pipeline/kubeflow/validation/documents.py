"""The documents of a compiled file, and the problems that are found in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

_SPEC_KEYS: Final = ("pipelineInfo", "root", "deploymentSpec", "schemaVersion")


@dataclass(frozen=True)
class Problem:
    """A broken rule.

    Attributes:
      rule: Name of the rule.
      message: What breaks it, and where.
    """

    rule: str
    message: str

    def __str__(self) -> str:
        """One line."""
        return f"{self.rule}: {self.message}"


@dataclass(frozen=True)
class Documents:
    """A compiled file.

    Attributes:
      spec: The PipelineSpec.
      platform: The document with `platforms`; empty if the file has none.
    """

    spec: dict[str, Any]
    platform: dict[str, Any]

    @property
    def tasks(self) -> dict[str, Any]:
        """Task name -> task of the root graph."""
        return _get(self.spec, "root", "dag", "tasks")

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
        """The component of a task; empty if it is missing."""
        name = _get(self.tasks, task, "componentRef").get("name", "")
        return _get(self.components, name)

    def executor(self, task: str) -> dict[str, Any]:
        """The executor of a task; empty if it is missing."""
        return _get(self.executors, self.component(task).get("executorLabel", ""))

    def containers(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yields task name and container."""
        for task in self.tasks:
            if "container" in self.executor(task):
                yield task, self.executor(task)["container"]


def _get(content: Any, *keys: str) -> dict[str, Any]:
    """The dict at a path of keys; empty if one is missing."""
    for key in keys:
        content = content.get(key, {})
    return content


def read_documents(text: str) -> Documents | Problem:
    """Reads a file as the server does (`v2_template.go`).

    Args:
      text: The YAML.

    Returns:
      The documents, or why the file does not hold a pipeline.
    """
    try:
        loaded = [item for item in yaml.safe_load_all(text) if item is not None]
    except yaml.YAMLError as error:
        return Problem("yaml", " ".join(str(error).split()))
    maps = [item for item in loaded if isinstance(item, dict)]
    specs = [item for item in maps if any(key in item for key in _SPEC_KEYS)]
    platforms = [item for item in maps if "platforms" in item]
    if len(maps) != len(loaded) or len(specs) + len(platforms) != len(maps):
        if any("pipelineSpec" in item for item in maps):
            return Problem("document", "a PipelineJob, which only Vertex AI accepts")
        return Problem("document", "the file holds no pipeline")
    if len(specs) != 1 or len(platforms) > 1:
        counts = f"{len(specs)} pipelines and {len(platforms)} platform documents"
        return Problem("document", f"the file holds {counts}, not 1 and 0 or 1")
    return Documents(specs[0], platforms[0] if platforms else {})
