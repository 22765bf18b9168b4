"""The graph: its nodes, its order, and what makes a step run again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from pipeline.config import PipelineConfig, TrainConfig, TuneConfig
from pipeline.fingerprints import code_fingerprints

TUNED = PipelineConfig(tune=TuneConfig(enabled=True))
pytestmark = pytest.mark.slow  # importing TFX takes ten seconds


def compiled(
    config: PipelineConfig | None = None,
    fingerprints: Mapping[str, str] | None = None,
    **changed: str,
) -> dict[str, Any]:
    """Compiles the graph as a runner does; node id -> its compiled form."""
    from tfx.dsl.compiler.compiler import Compiler  # noqa: PLC0415 - see above

    from pipeline.pipeline import create_pipeline  # noqa: PLC0415 - see above

    pipeline = create_pipeline(
        config or PipelineConfig(),
        pipeline_root="/root",
        input_base="/data",
        content_fingerprint="content",
        serving_dir="/serving",
        fingerprints={**(fingerprints or code_fingerprints()), **changed},
    )
    nodes = [node.pipeline_node for node in Compiler().compile(pipeline).nodes]
    return {node.node_info.id: node for node in nodes}


def parameters(nodes: dict[str, Any]) -> dict[str, str]:
    """Node id -> all its parameters, which are a part of its cache key."""
    return {name: str(node.parameters) for name, node in nodes.items()}


def parameter(node: Any, name: str) -> str:
    """One parameter of a node."""
    value: str = node.parameters.parameters[name].field_value.string_value
    return value


@pytest.fixture(scope="module")
def tuned_nodes() -> dict[str, Any]:
    return compiled(TUNED)


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
    tuned_nodes: dict[str, Any], node: str
) -> None:
    before = parameters(tuned_nodes)
    after = parameters(compiled(TUNED, **{node: "edited"}))
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {node, "ReportGen"}  # the latter shows every fingerprint


def test_the_report_shows_the_fingerprints_that_the_steps_ran_with() -> None:
    """Also those of a user's own classes, which no default fingerprint covers."""
    config = PipelineConfig(
        train=TrainConfig(loss="tests.fixtures.toy_pipeline.Loss"),
    )
    fingerprints = code_fingerprints(config)
    nodes = compiled(config, fingerprints=fingerprints)
    shown = json.loads(parameter(nodes["ReportGen"], "code_hashes"))
    assert shown["Trainer"] != code_fingerprints()["Trainer"]
    trainer = json.loads(parameter(nodes["Trainer"], "custom_config"))
    assert shown["Trainer"] == trainer["code_hash"]
    for node in set(shown) - {"Trainer", "Transform", "MovieLensExampleGen"}:
        assert shown[node] == parameter(nodes[node], "code_hash")
    assert "Tuner" not in shown, "no such step ran"


def test_a_changed_setting_reaches_the_steps_that_read_it(
    nodes: dict[str, Any],
) -> None:
    after = parameters(compiled(PipelineConfig(train=TrainConfig(epochs=3))))
    before = parameters(nodes)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"Trainer", "ReportGen"}  # the latter tells the configuration


def test_the_tuner_stands_between_transform_and_trainer(
    nodes: dict[str, Any], tuned_nodes: dict[str, Any]
) -> None:
    assert set(tuned_nodes) == {*nodes, "Tuner"}
    assert set(tuned_nodes["Tuner"].upstream_nodes) == {"Transform", "SchemaImporter"}
    [channel] = tuned_nodes["Trainer"].inputs.inputs["hyperparameters"].channels
    assert channel.producer_node_query.id == "Tuner"
    assert channel.output_key == "best_hyperparameters"
    assert "hyperparameters" not in nodes["Trainer"].inputs.inputs


def test_the_tuner_never_gets_the_eval_split(tuned_nodes: dict[str, Any]) -> None:
    told = tuned_nodes["Tuner"].parameters.parameters
    for key in ("train_args", "eval_args"):
        splits = json.loads(told[key].field_value.string_value)["splits"]
        assert splits == ["train", "corpus"]


def test_a_changed_search_reaches_the_tuner_and_not_the_trainers_parameters(
    tuned_nodes: dict[str, Any],
) -> None:
    before = parameters(tuned_nodes)
    tune = TuneConfig(enabled=True, trials=3)
    after = parameters(compiled(PipelineConfig(tune=tune)))
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"Tuner", "ReportGen"}


def test_a_search_that_is_off_changes_nothing(nodes: dict[str, Any]) -> None:
    tune = TuneConfig(enabled=False, trials=3)
    after = parameters(compiled(PipelineConfig(tune=tune)))
    assert after == parameters(nodes)
