"""The graph: its nodes, its order, and what makes a step run again."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.config import PipelineConfig, TrainConfig
from pipeline.fingerprints import code_fingerprints

pytestmark = pytest.mark.slow  # importing TFX takes ten seconds


def compiled(config: PipelineConfig | None = None, **changed: str) -> dict[str, Any]:
    """Compiles the graph as a runner does; node id -> its compiled form."""
    from tfx.dsl.compiler.compiler import Compiler  # noqa: PLC0415 - see above

    from pipeline.pipeline import create_pipeline  # noqa: PLC0415 - see above

    pipeline = create_pipeline(
        config or PipelineConfig(),
        pipeline_root="/root",
        input_base="/data",
        content_fingerprint="content",
        serving_dir="/serving",
        fingerprints={**code_fingerprints(), **changed},
    )
    nodes = [node.pipeline_node for node in Compiler().compile(pipeline).nodes]
    return {node.node_info.id: node for node in nodes}


def parameters(nodes: dict[str, Any]) -> dict[str, str]:
    """Node id -> all its parameters, which are a part of its cache key."""
    return {name: str(node.parameters) for name, node in nodes.items()}


@pytest.fixture(scope="module")
def nodes() -> dict[str, Any]:
    return compiled()


def test_the_order_of_the_chain(nodes: dict[str, Any]) -> None:
    ids = list(nodes)
    assert ids[:2] == ["MovieLensExampleGen", "SchemaImporter"]
    assert ids[-2:] == ["Pusher", "ReportGen"]
    assert set(nodes["Pusher"].upstream_nodes) == {
        "Evaluator",
        "ServabilityCheck",
        "StatisticsGen",
    }
    assert "LiveModel" in nodes["Evaluator"].upstream_nodes


def test_transform_waits_for_the_gate(nodes: dict[str, Any]) -> None:
    assert "DataGate" in nodes["Transform"].upstream_nodes


@pytest.mark.parametrize("node", sorted(code_fingerprints()))
def test_edited_code_changes_the_cache_key_of_its_step(
    nodes: dict[str, Any], node: str
) -> None:
    before, after = parameters(nodes), parameters(compiled(**{node: "edited"}))
    assert {name for name in before if before[name] != after[name]} == {node}


def test_a_changed_setting_reaches_the_steps_that_read_it(
    nodes: dict[str, Any],
) -> None:
    after = parameters(compiled(PipelineConfig(train=TrainConfig(epochs=3))))
    before = parameters(nodes)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"Trainer", "ReportGen"}  # the latter tells the configuration
