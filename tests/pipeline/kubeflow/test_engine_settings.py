"""The engine of a compiled pipeline, and of the step that finds it in its variables."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeline.config.loading import load
from pipeline.engines.beam_options import BEAM_ARGS, beam_args
from pipeline.engines.config import EngineConfig
from pipeline.kubeflow import engine_settings
from pipeline.kubeflow.compiled import CompiledPipeline
from tests.fixtures.dataflow_jobs import ENGINE as DATAFLOW
from tests.pipeline.kubeflow.conftest import SETTINGS
from trainer.errors import UsageError

ENGINE = load((), SETTINGS).engine


@pytest.mark.slow
def test_the_steps_that_run_beam_get_the_engine_outside_of_their_cache_key(
    compiled: CompiledPipeline, unpatched: dict[str, Any], monkeypatch: Any
) -> None:
    found = {}
    for name, container in compiled.containers():
        variables = {item["name"]: item["value"] for item in container["env"]}
        if engine_settings.ENGINE_ENV in variables:
            found[name] = variables[engine_settings.ENGINE_ENV]
        beam = [text for text in container["args"] if text.startswith("--runner=")]
        assert all("FnApiRunner" in text for text in beam)
    assert {"MovieLensExampleGen", "StatisticsGen", "Transform", "Evaluator"} <= set(
        found
    )
    assert "Trainer" not in found
    monkeypatch.setenv(engine_settings.ENGINE_ENV, found["Transform"])
    assert engine_settings.of_this_step() == ENGINE


def test_without_the_variable_a_step_runs_beam_itself(monkeypatch: Any) -> None:
    monkeypatch.delenv(engine_settings.ENGINE_ENV, raising=False)
    assert engine_settings.of_this_step() == EngineConfig()


@pytest.mark.parametrize(
    ("assignments", "expected"),
    [
        (("engine.shared_dir=/other",), "/other, which is in no volume"),
        (("kubeflow.volumes=[]",), "in no volume of kubeflow.volumes"),
    ],
)
def test_a_shared_folder_that_no_step_has(
    assignments: tuple[str, ...], expected: str
) -> None:
    remote = ("kubeflow.input_base=gs://b/data", "kubeflow.serving_dir=gs://b/serving")
    config = load((), (*SETTINGS, *remote, *assignments))
    with pytest.raises(UsageError, match=expected):
        engine_settings.declare(CompiledPipeline({}), config, [])


def test_arguments_of_our_executors_stay_beside_those_of_an_engine() -> None:
    given = [*BEAM_ARGS, "--ours=1"]
    assert engine_settings.arguments(EngineConfig(), given) == given
    found = engine_settings.arguments(ENGINE, given)
    assert found == [*beam_args(ENGINE), "--ours=1"]


STEPS = ("MovieLensExampleGen", "Transform")


def of_two_steps() -> CompiledPipeline:
    spec: dict[str, Any] = {
        "root": {"dag": {"tasks": {}}},
        "components": {},
        "deploymentSpec": {"executors": {}},
    }
    for name in STEPS:
        spec["root"]["dag"]["tasks"][name] = {"componentRef": {"name": f"comp-{name}"}}
        spec["components"][f"comp-{name}"] = {"executorLabel": name}
        spec["deploymentSpec"]["executors"][name] = {"container": {}}
    return CompiledPipeline(spec)


def test_where_ratings_are_sorted_is_outside_of_the_cache_key(monkeypatch: Any) -> None:
    pipeline = of_two_steps()
    engine_settings.declare(pipeline, load((), ["data.ingest=beam"]), STEPS[:1])
    variables = [container.get("env", []) for _, container in pipeline.containers()]
    ((variable,), nothing) = variables
    assert nothing == []
    monkeypatch.setenv(variable["name"], variable["value"])
    assert engine_settings.arguments(EngineConfig(), BEAM_ARGS) == [
        *BEAM_ARGS,
        *load((), ["data.ingest=beam"]).data.beam_args(),
    ]


def test_dataflow_does_not_read_ratings_that_lie_in_the_pod() -> None:
    pipeline = of_two_steps()
    engine_settings.declare(pipeline, replace(load(), engine=DATAFLOW), STEPS)
    given = {name for name, container in pipeline.containers() if "env" in container}
    assert given == {"Transform"}
