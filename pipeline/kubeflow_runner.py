"""Compiles the pipeline for Kubeflow Pipelines 2.x.

`python -m pipeline.kubeflow_runner` writes `pipeline.yaml`; it is `two-tower compile`,
and takes its options. `two-tower deploy` and `two-tower run --kubeflow` submit the same
file to a server.

The graph is the one that the local runner executes (`pipeline.pipeline`). TFX's own
`KubeflowV2DagRunner` compiles it; its output fails on every open-source server, so
`pipeline.kubeflow` patches it and checks the result by the server's rules.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from pipeline.config import PipelineConfig
from pipeline.kubeflow import ratings_input, step_settings
from pipeline.kubeflow import spec_patches as patches
from pipeline.kubeflow.compiled import CompiledPipeline
from pipeline.kubeflow.config import INPUT_BASE_PARAMETER, SPAN_PARAMETER

_EXAMPLE_GEN: Final = "MovieLensExampleGen"
_LATEST: Final = "latest"
Patch = Callable[[patches.Spec], None]


def compile_pipeline(
    config: PipelineConfig, *, pinned_span: bool = False, no_cache: bool = False
) -> CompiledPipeline:
    """Compiles the pipeline for Kubeflow.

    Args:
      config: What is computed, and what the steps need.
      pinned_span: Whether every run must name its span. Only then may ExampleGen use a
        cached result: a server compares parameters, not the files of a folder, and
        "the newest span" is the same parameter every day.
      no_cache: Whether no step may use a cached result.

    Returns:
      The pipeline; `check` applies the server's rules.

    Raises:
      UsageError: `kubeflow.steps` names a step that the graph does not have.
    """
    spec, drivers = tfx_spec(config)
    step_settings.check_step_names(config.kubeflow, patches.tasks(spec))
    uncached = [] if pinned_span else [_EXAMPLE_GEN]
    if no_cache:
        uncached = list(patches.tasks(spec))
    for patch in _patches(config, drivers, uncached, pinned_span=pinned_span):
        patch(spec)
    return CompiledPipeline(
        spec, step_settings.platform_document(spec, config.kubeflow)
    )


def _patches(
    config: PipelineConfig,
    drivers: dict[str, str],
    uncached: list[str],
    *,
    pinned_span: bool,
) -> list[Patch]:
    """All changes to the specification that TFX writes, in order."""
    settings = config.kubeflow
    defaults = {INPUT_BASE_PARAMETER: settings.input_base}
    if not pinned_span:
        defaults[SPAN_PARAMETER] = config.data.last_span or _LATEST
    return [
        patches.use_our_entrypoint,
        patches.prefix_names,
        partial(patches.run_driver_in_step, drivers=drivers),
        patches.pass_step_name,
        patches.declare_ui_artifacts,
        partial(patches.set_pipeline_root, pipeline_root=settings.pipeline_root),
        partial(patches.set_parameter_defaults, defaults=defaults),
        partial(step_settings.set_resources, config=settings),
        partial(step_settings.set_environment, config=settings),
        partial(step_settings.set_retries, config=settings),
        partial(step_settings.set_caching, config=settings, never=uncached),
        partial(
            ratings_input.import_ratings,
            reader=_EXAMPLE_GEN,
            parameter=INPUT_BASE_PARAMETER,
            uri=settings.input_base,
        ),
    ]


def tfx_spec(config: PipelineConfig) -> tuple[patches.Spec, dict[str, str]]:
    """Compiles the graph with TFX's own runner.

    By default that writes a PipelineJob of schema 2.0.0. Open-source servers parse a
    PipelineSpec, and reject any schema but 2.1.0.

    Returns:
      The PipelineSpec, and node id -> dotted path of the driver's class, for nodes that
      have a driver of their own.
    """
    with _output_discarded():
        from tfx.components import FileBasedExampleGen
        from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner as tfx_runner

        pipeline = _tfx_pipeline(config)
        settings = tfx_runner.KubeflowV2DagRunnerConfig(
            default_image=config.kubeflow.image, use_pipeline_spec_2_1=True
        )
        runner = tfx_runner.KubeflowV2DagRunner(config=settings)
        job = runner.run(pipeline, write_out=False)
        drivers = {
            node.id: f"{node.driver_class.__module__}.{node.driver_class.__qualname__}"
            for node in pipeline.components
            if isinstance(node, FileBasedExampleGen)
        }
    return job["pipelineSpec"], drivers


def _tfx_pipeline(config: PipelineConfig) -> Any:
    from tfx.orchestration.data_types import RuntimeParameter

    from pipeline.pipeline import create_pipeline

    return create_pipeline(
        config,
        pipeline_root=config.kubeflow.pipeline_root or "",
        input_base=RuntimeParameter(name=INPUT_BASE_PARAMETER, ptype=str),
        # The files are not on this machine: the driver hashes them in the step.
        content_fingerprint="",
        serving_dir=config.kubeflow.serving_dir,
        span=RuntimeParameter(name=SPAN_PARAMETER, ptype=str),
    )


@contextlib.contextmanager
def _output_discarded() -> Iterator[None]:
    """Discards what TensorFlow and TFX print, also from C++, unless something fails."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = {number: os.dup(number) for number in (1, 2)}
    with tempfile.TemporaryFile() as sink:
        for number in saved:
            os.dup2(sink.fileno(), number)
        try:
            yield
        except BaseException as error:
            sink.seek(0)
            # The message of a `UserError` is sufficient.
            if not hasattr(error, "remedy"):
                os.write(saved[2], sink.read())
            raise
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, descriptor in saved.items():
                os.dup2(descriptor, number)
                os.close(descriptor)


if __name__ == "__main__":
    from pipeline.cli import main

    main(["compile", *sys.argv[1:]], prog_name="two-tower")
