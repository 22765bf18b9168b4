"""What the rules of `pipeline.kubeflow.validation.rules` read and what they find."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Problem:
    """A broken rule.

    Attributes:
      rule: Its name.
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
      platform: The document with `platforms`; empty where there is none.
    """

    spec: dict[str, Any]
    platform: dict[str, Any]

    @property
    def tasks(self) -> dict[str, Any]:
        """Task name -> task of the root graph."""
        found: dict[str, Any] = (
            self.spec.get("root", {}).get("dag", {}).get("tasks", {})
        )
        return found

    @property
    def executors(self) -> dict[str, Any]:
        """Label -> executor."""
        found: dict[str, Any] = self.spec.get("deploymentSpec", {}).get("executors", {})
        return found

    def component(self, task: str) -> dict[str, Any]:
        """The component of a task; empty where it is missing."""
        name = self.tasks.get(task, {}).get("componentRef", {}).get("name", "")
        found: dict[str, Any] = self.spec.get("components", {}).get(name, {})
        return found

    def executor(self, task: str) -> dict[str, Any]:
        """The executor of a task; empty where it is missing."""
        label = self.component(task).get("executorLabel", "")
        found: dict[str, Any] = self.executors.get(label, {})
        return found

    def containers(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yields task and container."""
        for task in self.tasks:
            if "container" in self.executor(task):
                yield task, self.executor(task)["container"]
