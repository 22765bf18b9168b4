"""What TFX's own runner makes of the graph: what is mended, and compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pipeline.config import PipelineConfig
from pipeline.kubeflow.spec_patches import Spec

INPUT_BASE: Final = "input_base"
SPAN: Final = "span"


def bare_spec(config: PipelineConfig) -> tuple[Spec, dict[str, str]]:
    """Writes a bare PipelineSpec of schema 2.1.0, as TFX does where it is asked to.

    By itself it writes a PipelineJob of schema 2.0.0. The server parses a PipelineSpec,
    strictly, and refuses other schemas.

    Returns:
      The PipelineSpec, and the driver's class of each node that has one of its own.
    """
    from pipeline.kubeflow.quiet import quietly

    with quietly():
        from tfx.components import FileBasedExampleGen

        pipeline = _pipeline(config)
        spec: Spec = _compile(config, pipeline, bare=True)["pipelineSpec"]
        drivers = {
            node.id: _class_path(node.driver_class)
            for node in pipeline.components
            if isinstance(node, FileBasedExampleGen)
        }
    return spec, drivers


def stock_job(config: PipelineConfig) -> dict[str, Any]:
    """The PipelineJob that TFX writes by itself."""
    from pipeline.kubeflow.quiet import quietly

    with quietly():
        return _compile(config, _pipeline(config), bare=False)


def _pipeline(config: PipelineConfig) -> Any:
    from tfx.orchestration.data_types import RuntimeParameter

    from pipeline.pipeline import create_pipeline

    return create_pipeline(
        config,
        pipeline_root=config.kubeflow.pipeline_root or "",
        input_base=RuntimeParameter(name=INPUT_BASE, ptype=str),
        # The files are not here: the driver hashes them in the step.
        content_fingerprint="",
        serving_dir=config.kubeflow.serving_dir,
        span=RuntimeParameter(name=SPAN, ptype=str),
    )


def _compile(config: PipelineConfig, pipeline: Any, *, bare: bool) -> dict[str, Any]:
    from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner as runner

    settings = runner.KubeflowV2DagRunnerConfig(
        default_image=config.kubeflow.image, use_pipeline_spec_2_1=bare
    )
    job: dict[str, Any] = runner.KubeflowV2DagRunner(config=settings).run(
        pipeline, write_out=False
    )
    return job


def _class_path(driver: Callable[..., Any]) -> str:
    return f"{driver.__module__}.{driver.__qualname__}"
