"""Arguments of Apache Beam for each engine; what imports Beam is in `known_options`."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any, Final

from pipeline.engines.config import EngineConfig, EngineError
from pipeline.secret_text import is_secret_name

BEAM_ARGS: Final = [
    # The short name fails on Beam 2.59 and makes newer ones download a runner.
    "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner",
    # Without a container image TFX packs itself into an sdist for every Beam step, 2
    # seconds each, for workers on other machines. This runner has none and ignores it.
    "--sdk_container_image=none",
    # The default of newer versions. That of Beam 2.59, dill, is written in Python and
    # takes a tenth of the CPU time from the imports to the end of Transform.
    "--pickle_library=cloudpickle",
]
"""Arguments of the engine `local`."""

_PACKED: Final = BEAM_ARGS[1:]
_RUNNERS: Final = {
    "portable": "PortableRunner",
    "flink": "FlinkRunner",
    "spark": "SparkRunner",
    "dataflow": "DataflowRunner",
}
# Spark needs them on Java 17, and Spark's own scripts give them; Java 8 ignores them.
_SPARK_JAVA: Final = (
    "-XX:+IgnoreUnrecognizedVMOptions",
    *(
        f"--add-opens=java.base/{package}=ALL-UNNAMED"
        for package in ("java.lang.invoke", "java.nio", "java.util", "sun.nio.ch")
    ),
)
# How long an idle Python process stays for the next stage.
_KEPT_MILLISECONDS: Final = 60_000
# What keys of the section decide, not `engine.options`.
_KEYS: Final = {
    "runner": "runner",
    "job_endpoint": "master",
    "flink_master": "master",
    "spark_master_url": "master",
    "flink_version": "version",
    "spark_version": "version",
    "parallelism": "parallelism",
    "direct_num_workers": "parallelism",
    "direct_running_mode": "runner",
    "environment_type": "environment",
    "environment_config": "environment_config",
    "artifacts_dir": "shared_dir",
    "temp_location": "shared_dir",
    "flink_job_server_jar": "job_server_jar",
    "spark_job_server_jar": "job_server_jar",
    "sdk_container_image": "environment_config",
}
# What gives access to others' storage: see `pipeline.secret_text` for values.
_SECRETS: Final = (
    "azure_connection_string",
    "s3_access_key_id",
    "s3_secret_access_key",
    "s3_session_token",
)
# Options that only the job server of an engine knows, in Java: it names them to Beam's
# Python side when a job is submitted, too late for a check.
_JOB_SERVER_OPTIONS: Final = {
    "flink": (
        "allow_non_restored_state",
        "auto_balance_write_files_sharding_enabled",
        "auto_watermark_interval",
        "checkpoint_timeout_millis",
        "checkpointing_interval",
        "checkpointing_mode",
        "disable_metrics",
        "execution_mode_for_batch",
        "execution_retry_delay",
        "externalized_checkpoints_enabled",
        "fail_on_checkpointing_errors",
        "faster_copy",
        "file_input_split_max_size_m_b",
        "finish_bundle_before_checkpointing",
        "flink_conf_dir",
        "force_slot_sharing_group",
        "force_unaligned_checkpoint_enabled",
        "job_check_interval_in_secs",
        "latency_tracking_interval",
        "max_bundle_size",
        "max_bundle_time_mills",
        "min_pause_between_checkpoints",
        "num_concurrent_checkpoints",
        "number_of_execution_retries",
        "object_reuse",
        "operator_chaining",
        "re_iterable_group_by_key_result",
        "retain_externalized_checkpoints_on_cancellation",
        "savepoint_path",
        "shutdown_sources_after_idle_ms",
        "state_backend",
        "state_backend_storage_path",
        "unaligned_checkpoint_enabled",
        "use_data_stream_for_batch",
    ),
    "spark": (
        "bundle_size",
        "cache_disabled",
        "enable_spark_metric_sinks",
        "files_to_stage",
        "max_records_per_batch",
        "prefer_group_by_key_to_handle_hot_keys",
        "storage_level",
        "use_active_spark_session",
    ),
}


def beam_args(engine: EngineConfig) -> list[str]:
    """Returns the arguments of Beam pipelines that run on an engine."""
    if engine.runner == "local":
        return [*BEAM_ARGS, *_further(engine)]
    if engine.runner == "multiprocess":
        workers = f"--direct_num_workers={engine.parallelism}"  # 0: one per core
        mode = "--direct_running_mode=multi_processing"
        return [*BEAM_ARGS, mode, workers, *_further(engine)]
    found = [f"--runner={_RUNNERS[engine.runner]}"]
    if engine.runner == "dataflow":
        found += _dataflow(engine)
    else:
        found += [*_cluster(engine), *_environment(engine), *_PACKED]
    if engine.shared_dir is not None:
        folder = engine.shared_dir.rstrip("/")
        found.append(f"--temp_location={folder}/tmp")
        if engine.runner in ("flink", "spark"):
            found.append(f"--artifacts_dir={folder}/beam-artifacts")
    return [*found, *_further(engine)]


def _cluster(engine: EngineConfig) -> Iterator[str]:
    """Where jobs are sent."""
    if engine.runner == "portable":
        yield f"--job_endpoint={engine.master}"
        # Beam's embedded job server ignores it, and others have it in their options.
        if engine.parallelism:
            yield f"--parallelism={engine.parallelism}"
        return
    key = "spark_master_url" if engine.runner == "spark" else "flink_master"
    yield f"--{key}={engine.master}"
    if engine.version is not None:
        yield f"--{engine.runner}_version={engine.version}"
    if engine.job_server_jar is not None:
        yield f"--{engine.runner}_job_server_jar={engine.job_server_jar}"
    if engine.runner == "spark":
        yield from _jvm(*_SPARK_JAVA)
        if engine.parallelism:
            # Beam's runner has no such option, and takes what its cluster gives.
            yield from _jvm(
                f"-Dspark.cores.max={engine.parallelism}",
                f"-Dspark.default.parallelism={engine.parallelism}",
            )
    elif engine.parallelism:
        yield f"--parallelism={engine.parallelism}"


def _jvm(*arguments: str) -> list[str]:
    return [f"--job_server_jvm_properties={argument}" for argument in arguments]


def _environment(engine: EngineConfig) -> Iterator[str]:
    """What runs our code for the engine."""
    yield f"--environment_type={engine.environment.upper()}"
    # Without it job servers start new Python processes for each stage of a job, which
    # import everything again: 145 for ExampleGen and StatisticsGen on Spark.
    yield f"--environment_cache_millis={_KEPT_MILLISECONDS}"
    if engine.environment_config is not None:
        yield f"--environment_config={engine.environment_config}"


def _dataflow(engine: EngineConfig) -> Iterator[str]:
    yield f"--sdk_container_image={engine.environment_config}"
    yield "--sdk_location=container"  # the image has Beam, and our package
    yield "--experiments=use_runner_v2"
    yield BEAM_ARGS[-1]
    if engine.parallelism:
        yield f"--max_num_workers={engine.parallelism}"


def _further(engine: EngineConfig) -> Iterator[str]:
    for name, value in engine.options.items():
        if value is True:
            yield f"--{name}"
            continue
        values = value if isinstance(value, tuple) else (value,)
        yield from (f"--{name}={item}" for item in values)


def check_version(engine: EngineConfig) -> None:
    """Refuses a version of a cluster that the installed Beam does not support.

    Raises:
      EngineError: It does not.
    """
    if engine.version is None:
        return
    from pipeline.engines.known_options import beam_version, versions

    supported = versions(engine.runner)
    if engine.version not in supported:
        raise EngineError(
            f"engine.version is {engine.version}, but Beam {beam_version()} supports "
            f"{engine.runner.title()} {', '.join(supported)}",
            "Set engine.version to one of these.",
        )


def _holds_secret(name: str, value: Any) -> bool:
    """Whether an option, or a property of Java in it, is a secret by its name."""
    if name in _SECRETS:
        return True
    properties = value if isinstance(value, tuple) else (value,)
    pairs = [f"{item}".removeprefix("-D").partition("=") for item in properties]
    return name == "job_server_jvm_properties" and any(
        is_secret_name(key) and not text.startswith("/")  # such as spark.ssl.keyStore
        for key, _, text in pairs
        if text
    )


def check_options(engine: EngineConfig) -> None:
    """Refuses options that Beam would ignore, or that a key of the section sets.

    Raises:
      EngineError: An option is unknown, has a wrong value, belongs to a key, or is a
        secret.
    """
    if not engine.options:
        return
    from pipeline.engines.known_options import beam_version, known, refused_value

    names = {*known(), *_JOB_SERVER_OPTIONS.get(engine.runner, ())}
    if engine.runner == "portable":  # its job server may be that of any engine
        names.update(*_JOB_SERVER_OPTIONS.values())
    for name, value in engine.options.items():
        if name in _KEYS:
            raise EngineError(
                f"engine.options.{name} is set by engine.{_KEYS[name]}",
                f"Remove it, and set engine.{_KEYS[name]}.",
            )
        if name not in names:
            near = difflib.get_close_matches(name, sorted(names), n=3)
            raise EngineError(
                f"engine.options.{name} is no option of Beam {beam_version()}"
                + (f" or of {engine.runner}" if engine.is_distributed else ""),
                f"Did you mean {' or '.join(near)}?" if near else "Remove it.",
            )
        if _holds_secret(name, value):
            raise EngineError(
                f"engine.options.{name} holds a secret, and the configuration is "
                "readable in the files of every run",
                "Give it to the engine's workers and job server by their environment "
                "or their own configuration.",
            )
        if value is False:
            raise EngineError(
                f"engine.options.{name} is false, which cannot be passed to Beam",
                "Remove it: true gives the option, and without it the default holds.",
            )
    reason = refused_value(list(_further(engine)))
    if reason:
        raise EngineError(
            f"engine.options has a value that Beam refuses: {reason}",
            "Change its value.",
        )
