"""What `two-tower compile --diff` finds."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pipeline.config.loading import load
from tests.fixtures.lazy import lazily
from tests.pipeline.kubeflow.conftest import SETTINGS


def found(before: Any, after: Any) -> list[tuple[str, Any, Any]]:
    """Paths with what was and what is; None stands for nothing."""
    changes = lazily("pipeline.kubeflow.changes", "differences")
    absent = lazily("pipeline.kubeflow.changes", "ABSENT")

    def value(item: Any) -> Any:
        return None if item is absent else item

    return [(d.path, value(d.before), value(d.after)) for d in changes(before, after)]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, [("a.b", 1, 2)]),
        ({"a": {"b": {"c": 1}}}, {"a": {}}, [("a.b", {"c": 1}, None)]),
        ({}, {"a": [1]}, [("a", None, [1])]),
        ({"a": [1]}, {"a": [1, 2, 3]}, [("a[1:]", None, [2, 3])]),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, [("a[1].b", 2, 3)]),
        ({"a": [1, 2]}, {"a": [3]}, [("a", [1, 2], [3])]),
        (
            {"X": {"l": "X_executor", "n": 1}},
            {"comp-X": {"l": "exec-X", "n": 1}},
            [("X", "X", "comp-X"), ("comp-X.l", "X_executor", "exec-X")],
        ),
    ],
)
def test_differences(before: Any, after: Any, expected: Any) -> None:
    assert found(before, after) == expected


@pytest.mark.slow
def test_each_difference_from_the_stock_file_is_named(
    stock: dict[str, Any], compiled: Any
) -> None:
    """No place of our file differs from TFX's without a mend that says so."""
    changes = lazily("pipeline.kubeflow.changes", "changes")(load((), SETTINGS))
    by_name = {change.name: change for change in changes}
    assert all(change.why for change in changes)

    def place(path: str) -> str:
        return re.sub(r"\[\d+:\]$", "", path)

    named = {place(d.path) for change in changes[1:] for d in change.differences}
    direct = {place(path) for path, _, _ in found(stock, compiled.spec)}
    assert direct - named == set()
    assert len(direct) > 60
    example = by_name["bare_spec"].example()
    assert (example.path, example.before, example.after) == (
        "pipelineSpec.schemaVersion",
        "2.0.0",
        "2.1.0",
    )
    commands = by_name["run_our_entrypoint"].differences
    assert {d.after for d in commands} == {"pipeline.kubeflow.step_entrypoint"}
    assert len(commands) == len(compiled.spec["components"])
    placed = by_name["platform_document"].differences
    assert any(d.path.endswith("exec-Trainer.nodeSelector") for d in placed)
    # Our graph avoids what these mend.
    assert not by_name["rename_condition_keys"].differences
