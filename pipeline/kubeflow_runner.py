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
from collections.abc import Collection, Iterator
from typing import Any

from pipeline.config import PipelineConfig
from pipeline.kubeflow import (
    engine_settings,
    exit_step,
    ratings_input,
    run_day,
    step_settings,
    training_job,
    ui_artifacts,
    validation,
)
from pipeline.kubeflow import spec_patches as patches
from pipeline.kubeflow.compiled import CompiledPipeline
from pipeline.kubeflow.config import INPUT_BASE_PARAMETER, SPAN_PARAMETER
from trainer.errors import UserError


def compile_pipeline(
    config: PipelineConfig,
    *,
    pinned_span: bool = False,
    no_cache: bool = False,
    push_again: str = "",
) -> CompiledPipeline:
    """Compiles the pipeline for Kubeflow, and checks it by the server's rules.

    Args:
      config: What is computed, and what the steps need.
      pinned_span: Whether every run must name its span. Only then may ExampleGen use a
        cached result: a server compares parameters, not the files of a folder, and
        "the newest span" is the same parameter every day.
      no_cache: Whether no step may use a cached result.
      push_again: See `pipeline.pipeline.create_pipeline`.

    Raises:
      UsageError: `kubeflow.steps` names a step that the graph does not have, or workers
        of the engine would not see the files of the steps.
      UserError: A rule is broken, because of a setting in `kubeflow`.
    """
    settings = config.kubeflow
    notifies = exit_step.has_notifications(config)
    if notifies:
        exit_step.check_variables(config)
        settings = exit_step.with_small_step(settings)
    if training_job.has_job(config):
        settings = training_job.with_small_step(settings)
    spec, drivers, live, distributed = tfx_spec(config, push_again)
    pipeline = CompiledPipeline(spec)
    added = [exit_step.EXIT_STEP] if notifies else []
    step_settings.check_step_names(settings, [*pipeline.tasks, *added])
    # A cached step sends nothing.
    uncached: Collection[str] = [*live, exit_step.LAST_STEP] if notifies else live
    if not pinned_span:
        uncached = [*uncached, ratings_input.READER]
    if no_cache:
        uncached = [*pipeline.tasks]
    defaults = {INPUT_BASE_PARAMETER: settings.input_base}
    if not pinned_span:
        defaults[SPAN_PARAMETER] = config.data.last_span or "latest"
    patches.use_our_entrypoint(pipeline, drivers)
    patches.prefix_names(pipeline)
    patches.set_defaults(pipeline, settings.pipeline_root, defaults)
    if not pinned_span:
        run_day.declare(pipeline)
    ui_artifacts.declare(pipeline)
    if notifies:
        exit_step.declare(pipeline, config)
    step_settings.set_container_options(pipeline, settings)
    if training_job.has_job(config):
        training_job.declare(pipeline, config)
    engine_settings.declare(pipeline, config, distributed)
    step_settings.set_task_options(pipeline, settings, uncached)
    ratings_input.import_ratings(pipeline, settings.input_base)
    senders = (exit_step.LAST_STEP, exit_step.EXIT_STEP)
    hidden = dict.fromkeys(config.notify.variables(), senders)
    pipeline.platform.update(
        step_settings.platform_document(pipeline, settings, hidden)
    )
    if notifies:
        exit_step.enclose(pipeline)
    report = validation.check(pipeline.to_yaml(), given=(SPAN_PARAMETER,))
    if report.problems:
        raise UserError(
            "A Kubeflow Pipelines server would reject the compiled pipeline: "
            + "; ".join(report.problems),
            "Change the section `kubeflow` of the configuration.",
        )
    return pipeline


def tfx_spec(
    config: PipelineConfig, push_again: str = ""
) -> tuple[dict[str, Any], dict[str, str], list[str], list[str]]:
    """Compiles the graph with TFX's own runner.

    By default that writes a PipelineJob of schema 2.0.0. Open-source servers parse a
    PipelineSpec, and reject any schema but 2.1.0.

    Returns:
      The PipelineSpec; node id -> dotted path of the driver's class, for nodes whose
      executor needs what it finds; the nodes that depend on what is live, which only a
      driver could pass to the server's cache; and the nodes that run Beam.
    """
    with _output_discarded():
        from tfx.components import FileBasedExampleGen
        from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
        from tfx.orchestration.data_types import RuntimeParameter
        from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner as tfx_runner

        from components.live_driver import LiveDriver
        from pipeline.engines.beam_options import BEAM_ARGS
        from pipeline.pipeline import create_pipeline

        pipeline = create_pipeline(
            config,
            pipeline_root=config.kubeflow.pipeline_root or "",
            input_base=RuntimeParameter(name=INPUT_BASE_PARAMETER, ptype=str),
            # The files are not on this machine: the driver hashes them in the step.
            content_fingerprint="",
            serving_dir=config.kubeflow.serving_dir,
            span=RuntimeParameter(name=SPAN_PARAMETER, ptype=str),
            # These are in a server's cache key; `engine_settings` has what must not be.
            beam_pipeline_args=BEAM_ARGS,
            push_again=push_again,
        )
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
        # It looks for no model then, and may be cached with the Trainer behind it.
        unused = ["WarmStart"] if config.train.warm_start == "never" else []
        live = [
            node.id
            for node in pipeline.components
            if issubclass(node.driver_class, LiveDriver) and node.id not in unused
        ]
        distributed = [
            node.id
            for node in pipeline.components
            if isinstance(node.executor_spec, BeamExecutorSpec)
        ]
    return job["pipelineSpec"], drivers, live, distributed


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
            if not isinstance(error, UserError):
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
