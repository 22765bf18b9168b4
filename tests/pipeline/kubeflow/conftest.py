"""The graph as TFX compiles it, and after our patches, compiled once for all tests."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from pipeline.config.loading import load
from pipeline.kubeflow.compiled import CompiledPipeline

SETTINGS = (
    "kubeflow.image=registry.example.com/two-tower:1",
    "kubeflow.pipeline_root=minio://mlpipeline/two-tower",
    "kubeflow.steps.Trainer={cpu: 8, gpus: 1, retries: 0, timeout_seconds: 600, "
    "node_selector: {pool: gpu}, tolerations: [{key: gpu, operator: Exists}]}",
    "kubeflow.steps.Pusher={cache: false, image: 'pusher:2'}",
    "kubeflow.secrets=[{variable: STORE_KEY, secret: store, key: key}]",
    "kubeflow.image_pull_secrets=[registry]",
    "kubeflow.image_pull_policy=Always",
    "kubeflow.env={LEVEL: '1'}",
    "engine.runner=flink",
    "engine.master=jobmanager:8081",
    "engine.environment_config=localhost:50000",
    "engine.shared_dir=/mnt/two-tower/beam",
)


@pytest.fixture(scope="session")
def unpatched() -> dict[str, Any]:
    """The graph as TFX's own runner compiles it."""
    from pipeline.kubeflow_runner import tfx_spec  # noqa: PLC0415 - slow

    spec, *_ = tfx_spec(load())
    return spec


@pytest.fixture(scope="session")
def compiled() -> Any:
    """The graph as we compile it, with every setting set."""
    from pipeline.kubeflow_runner import compile_pipeline  # noqa: PLC0415 - slow

    return compile_pipeline(load((), SETTINGS))


@pytest.fixture
def pipeline(unpatched: dict[str, Any]) -> CompiledPipeline:
    """A copy of TFX's pipeline, to patch."""
    return CompiledPipeline(copy.deepcopy(unpatched))
