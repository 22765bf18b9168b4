"""The graph: its nodes, its order, and what makes a step run again."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from pipeline.config import (
    DataConfig,
    EvalConfig,
    FeedbackConfig,
    PipelineConfig,
    TrainConfig,
    TuneConfig,
)
from pipeline.fingerprints import code_fingerprints
from tests.fixtures.movielens_files import write_csv

TUNED = PipelineConfig(tune=TuneConfig(enabled=True))
pytestmark = pytest.mark.slow  # importing TFX takes ten seconds


def compiled(
    config: PipelineConfig | None = None,
    edited: Mapping[str, str] | None = None,
    **arguments: Any,
) -> dict[str, Any]:
    """Compiles the graph as a runner does.

    Args:
      config: The configuration; the default one for None.
      edited: Node id -> fingerprint that it has because its code was edited.
      **arguments: More arguments of `create_pipeline`.

    Returns:
      Node id -> its compiled form.
    """
    from tfx.dsl.compiler.compiler import Compiler  # noqa: PLC0415 - see above

    from pipeline import pipeline as module  # noqa: PLC0415 - see above

    def fingerprints(nodes: Any, config: PipelineConfig) -> dict[str, str]:
        return {**code_fingerprints(nodes, config), **(edited or {})}

    with mock.patch.object(module, "code_fingerprints", fingerprints):
        made = module.create_pipeline(
            config or PipelineConfig(),
            **{
                "pipeline_root": "gs://bucket/root",
                "input_base": "/data",
                "serving_dir": "/serving",
                **arguments,
            },
        )
    nodes = [node.pipeline_node for node in Compiler().compile(made).nodes]
    return {node.node_info.id: node for node in nodes}


def parameters(nodes: dict[str, Any]) -> dict[str, str]:
    """Node id -> all its parameters, which are a part of its cache key."""
    return {name: str(node.parameters) for name, node in nodes.items()}


def parameter(node: Any, name: str) -> str:
    """One parameter of a node."""
    value: str = node.parameters.parameters[name].field_value.string_value
    return value


def code_hash(node: Any) -> str:
    """The fingerprint of a node's code."""
    return parameter(node, "code_hash")


@pytest.fixture(scope="module")
def tuned_nodes() -> dict[str, Any]:
    return compiled(TUNED)


@pytest.fixture(scope="module")
def nodes() -> dict[str, Any]:
    return compiled()


@pytest.fixture
def docstring_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the example of the module in an empty folder, up to the compiled graph."""
    from tfx.orchestration.local.local_dag_runner import LocalDagRunner  # noqa: PLC0415

    from pipeline import pipeline as module  # noqa: PLC0415 - see above

    compiled: list[Any] = []
    monkeypatch.setattr(
        LocalDagRunner, "run_with_ir", lambda self, ir, **_: compiled.append(ir)
    )
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", module.__doc__ or "", re.DOTALL)
    lines = [line for line in textwrap.dedent(example).splitlines() if line]
    assert len(lines) == 5

    def run() -> Any:
        exec("\n".join(lines), {})
        return compiled.pop()

    return run


def test_the_example_of_five_lines_compiles(
    docstring_example: Any, tmp_path: Path, nodes: dict[str, Any]
) -> None:
    graph = docstring_example()
    made = {node.pipeline_node.node_info.id: node.pipeline_node for node in graph.nodes}
    assert list(made) == list(nodes)
    assert parameter(made["LiveModel"], "serving_dir") == "out/serving"
    example_gen = made["MovieLensExampleGen"]
    assert parameter(example_gen, "input_base") == "data/ml-100k"
    config = graph.deployment_config
    assert b"out/metadata.sqlite" in config.SerializeToString()
    assert b"fn_api_runner" in config.SerializeToString()
    # The same sources, the same fingerprints.
    assert code_hash(made["Trainer"]) == code_hash(nodes["Trainer"])


def test_the_content_of_local_files_is_part_of_the_cache_key(
    docstring_example: Any, tmp_path: Path
) -> None:
    def example_gen() -> str:
        (node, *_) = docstring_example().nodes
        return str(node.pipeline_node.parameters)

    folder = tmp_path / "data" / "ml-100k"
    absent = example_gen()
    write_csv(folder, [(1, 1, 4, 10), (1, 2, 5, 20)], [1, 2])
    before = example_gen()
    (folder / "ratings.csv").write_text((folder / "ratings.csv").read_text() + "\n")
    assert len({absent, before, example_gen()}) == 3


def test_the_order_of_the_chain(nodes: dict[str, Any]) -> None:
    ids = list(nodes)
    assert ids[:2] == ["MovieLensExampleGen", "SchemaImporter"]
    assert ids[-2:] == ["Pusher", "ReportGen"]
    assert set(nodes["Pusher"].upstream_nodes) == {
        "Evaluator",
        "LiveModel",
        "ServabilityCheck",
        "StatisticsGen",
    }
    assert "LiveModel" in nodes["Evaluator"].upstream_nodes


def test_transform_waits_for_the_gate(nodes: dict[str, Any]) -> None:
    assert "DataGate" in nodes["Transform"].upstream_nodes


def test_edited_code_changes_the_cache_key_of_its_step(
    tuned_nodes: dict[str, Any],
) -> None:
    before = parameters(tuned_nodes)
    for node in tuned_nodes:
        after = parameters(compiled(TUNED, edited={node: "edited"}))
        changed = {name for name in before if before[name] != after[name]}
        # The latter shows every fingerprint.
        assert changed == {node, "ReportGen"}


def test_the_report_shows_the_fingerprints_that_the_steps_ran_with(
    nodes: dict[str, Any],
) -> None:
    """Also those of a user's own class, in place of the code of the project alone."""
    train = TrainConfig(loss="tests.fixtures.worker.Loss")
    own = compiled(PipelineConfig(train=train))
    shown = json.loads(parameter(own["ReportGen"], "code_hashes"))
    assert set(shown) == set(own)
    for node, digest in shown.items():
        assert parameter(own[node], "code_hash") == digest
    settings = json.loads(parameter(own["Trainer"], "custom_config"))
    assert settings["code_hash"] == shown["Trainer"]
    changed = {node for node in shown if shown[node] != code_hash(nodes[node])}
    assert changed == {"Trainer"}


def test_a_changed_setting_reaches_the_steps_that_read_it(
    nodes: dict[str, Any],
) -> None:
    after = parameters(compiled(PipelineConfig(train=TrainConfig(epochs=3))))
    before = parameters(nodes)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"Trainer", "ReportGen"}  # the latter shows the configuration


def test_impressions_change_the_report_alone(
    nodes: dict[str, Any], tmp_path: Path
) -> None:
    config = PipelineConfig(feedback=FeedbackConfig(impressions=str(tmp_path)))
    before, after = parameters(nodes), parameters(compiled(config))
    assert {name for name in before if before[name] != after[name]} == {"ReportGen"}
    assert "feedback" not in before["ReportGen"]
    assert "impressions_fingerprint" not in before["ReportGen"]
    off = PipelineConfig(feedback=FeedbackConfig(window_days=1))
    assert parameters(compiled(off)) == before


def test_who_approves_changes_no_step_before_the_push(nodes: dict[str, Any]) -> None:
    config = PipelineConfig(eval=EvalConfig(approval="manual"))
    after, before = parameters(compiled(config)), parameters(nodes)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"Pusher", "ReportGen"}


def test_the_rating_scale_reaches_the_steps_that_read_it(
    nodes: dict[str, Any],
) -> None:
    config = PipelineConfig(data=DataConfig(rating_scale=(0, 100, 1)))
    changed_nodes = compiled(config)
    after, before = parameters(changed_nodes), parameters(nodes)
    assert {name for name in before if before[name] != after[name]} == {
        *("MovieLensExampleGen", "StatisticsGen", "SchemaImporter", "DataGate"),
        *("Trainer", "ReportGen"),
    }
    options = json.loads(
        parameter(changed_nodes["StatisticsGen"], "stats_options_json")
    )
    assert options["_num_histogram_buckets"] == 101


def test_the_tuner_runs_between_transform_and_trainer(
    nodes: dict[str, Any], tuned_nodes: dict[str, Any]
) -> None:
    assert set(tuned_nodes) == {*nodes, "Tuner"}
    assert set(tuned_nodes["Tuner"].upstream_nodes) == {"Transform", "SchemaImporter"}
    [channel] = tuned_nodes["Trainer"].inputs.inputs["hyperparameters"].channels
    assert channel.producer_node_query.id == "Tuner"
    assert channel.output_key == "best_hyperparameters"
    assert "hyperparameters" not in nodes["Trainer"].inputs.inputs


def test_the_tuner_never_gets_the_eval_split(tuned_nodes: dict[str, Any]) -> None:
    parameters = tuned_nodes["Tuner"].parameters.parameters
    for key in ("train_args", "eval_args"):
        splits = json.loads(parameters[key].field_value.string_value)["splits"]
        assert splits == ["train", "corpus"]


def test_a_changed_search_reaches_the_tuner_and_not_the_trainers_parameters(
    tuned_nodes: dict[str, Any],
) -> None:
    before = parameters(tuned_nodes)
    tune = TuneConfig(enabled=True, trials=3)
    after = parameters(compiled(PipelineConfig(tune=tune)))
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"Tuner", "ReportGen"}


def test_a_disabled_search_changes_nothing(nodes: dict[str, Any]) -> None:
    tune = TuneConfig(enabled=False, trials=3)
    after = parameters(compiled(PipelineConfig(tune=tune)))
    assert after == parameters(nodes)
