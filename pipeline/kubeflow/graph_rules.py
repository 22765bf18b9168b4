"""The server's rules about what tasks wait for, and where their inputs come from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from pipeline.kubeflow.compiled import CompiledPipeline, Graph

_EXIT_STRATEGY: Final = "ALL_UPSTREAM_TASKS_COMPLETED"


def is_optional(definition: dict[str, Any]) -> bool:
    """Returns whether an input needs no source."""
    return bool(definition.get("isOptional")) or "defaultValue" in definition


def inputs_have_sources(pipeline: CompiledPipeline) -> Iterator[str]:
    """Producers are in the same graph, run before, make the output (`driver.go`)."""
    for graph in pipeline.graphs():
        for task, content in graph.tasks.items():
            yield from _check_sources(pipeline, graph, task)
            wanted = pipeline.component(task).get("inputDefinitions", {})
            inputs = content.get("inputs", {})
            for kind in ("artifacts", "parameters"):
                for key, definition in wanted.get(kind, {}).items():
                    if key not in inputs.get(kind, {}) and not is_optional(definition):
                        yield f"input: {task}.{key} has no source"


def _check_sources(
    pipeline: CompiledPipeline, graph: Graph, task: str
) -> Iterator[str]:
    """Checks the sources of the inputs of a task."""
    inputs = graph.tasks[task].get("inputs", {})
    waits = graph.tasks[task].get("dependentTasks", [])
    for kind in ("artifact", "parameter"):
        for key, source in inputs.get(f"{kind}s", {}).items():
            where = f"input: {task}.{key}"
            output = source.get(f"taskOutput{kind.capitalize()}")
            name = source.get(f"componentInput{kind.capitalize()}", "")
            if name and name not in graph.inputs.get(f"{kind}s", {}):
                yield f"{where}: no pipeline {kind} {name}"
            if output is not None or (kind == "artifact" and not name):
                for problem in _of_producer(pipeline, graph, task, kind, output or {}):
                    yield f"{where}: {problem}"
            if "taskFinalStatus" in source:
                producer = source["taskFinalStatus"].get("producerTask", "")
                # The server reports on the first task that this one waits for.
                if waits[:1] != [producer]:
                    yield f"{where}: {task} does not wait for {producer!r}"


def _of_producer(
    pipeline: CompiledPipeline,
    graph: Graph,
    task: str,
    kind: str,
    output: dict[str, Any],
) -> Iterator[str]:
    """Yields what is wrong with an output that a task reads."""
    producer = output.get("producerTask", "")
    if producer not in graph.tasks:
        yield f"unknown producer {producer!r}"
        return
    if producer not in graph.tasks[task].get("dependentTasks", []):
        yield f"{task} does not wait for {producer}"
    outputs = pipeline.component(producer).get("outputDefinitions", {})
    name = output.get(f"output{kind.capitalize()}Key", "")
    if name not in outputs.get(f"{kind}s", {}):
        yield f"{producer} makes no {kind} {name}"


def exit_tasks_can_run(pipeline: CompiledPipeline) -> Iterator[str]:
    """An exit task is a hook of the tasks that it waits for (`dag.go`).

    It runs once for each of them, and not if one has not started; an output of a task
    that failed does not exist, and the server fails the exit task that reads it.
    """
    for graph in pipeline.graphs():
        exits = [task for task in graph.tasks if _is_exit(graph.tasks[task])]
        if exits and len(exits) == len(graph.tasks):
            yield f"exit: {exits[0]} is in a graph without another task"
        for task in exits:
            waits = graph.tasks[task].get("dependentTasks", [])
            if len(waits) != 1 or waits[0] not in graph.tasks or waits[0] in exits:
                yield f"exit: {task} does not wait for exactly one other task"
            inputs = graph.tasks[task].get("inputs", {}).values()
            sources = [source for part in inputs for source in part.values()]
            if any(key.startswith("taskOutput") for s in sources for key in s):
                yield f"exit: {task} reads an output, which a failed task does not have"


def _is_exit(task: dict[str, Any]) -> bool:
    return task.get("triggerPolicy", {}).get("strategy") == _EXIT_STRATEGY
