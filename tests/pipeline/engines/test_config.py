"""The section `engine`: its checks, and the Beam arguments that it stands for."""

from __future__ import annotations

from pathlib import Path

import pytest
from apache_beam.options import pipeline_options as beam_options

from pipeline.config.loading import dump, load
from pipeline.engines.beam_options import BEAM_ARGS, beam_args
from trainer.errors import UsageError

FLINK = (
    "engine.runner=flink",
    "engine.master=jobmanager:8081",
    "engine.shared_dir=/shared",
    "engine.environment_config=localhost:50000",
)
SPARK = ("engine.runner=spark", "engine.master=spark://master:7077", *FLINK[2:])
DATAFLOW = (
    "engine.runner=dataflow",
    "engine.shared_dir=gs://bucket/beam",
    "engine.environment_config=registry.example.com/two-tower:1",
    "engine.options.project=p",
    "engine.options.region=europe-west1",
)
PUBLISHED = beam_options.FlinkRunnerOptions.PUBLISHED_FLINK_VERSIONS


def args(*assignments: str) -> list[str]:
    return beam_args(load((), assignments).engine)


def test_the_default_is_beam_in_the_process_of_the_step() -> None:
    assert args() == BEAM_ARGS
    assert args("engine.options.streaming=true") == [*BEAM_ARGS, "--streaming"]


def test_several_processes_of_this_machine() -> None:
    found = args("engine.runner=multiprocess", "engine.parallelism=2")
    options = beam_options.PipelineOptions(found).view_as(beam_options.DirectOptions)
    assert found[: len(BEAM_ARGS)] == BEAM_ARGS
    assert options.direct_running_mode == "multi_processing"
    assert options.direct_num_workers == 2


def test_a_flink_cluster_with_worker_pools() -> None:
    found = args(
        *FLINK,
        f"engine.version={PUBLISHED[0]}",
        "engine.parallelism=2",
        "engine.job_server_jar=/jars/flink.jar",
        "engine.options.object_reuse=true",
        "engine.options.experiments=[a, b]",
    )
    options = beam_options.PipelineOptions(found).get_all_options()
    expected = {
        "runner": "FlinkRunner",
        "flink_master": "jobmanager:8081",
        "flink_version": PUBLISHED[0],
        "flink_job_server_jar": "/jars/flink.jar",
        "parallelism": 2,
        "environment_type": "EXTERNAL",
        "environment_config": "localhost:50000",
        "artifacts_dir": "/shared/beam-artifacts",
        "temp_location": "/shared/tmp",
        "sdk_container_image": "none",
        "experiments": ["a", "b"],
    }
    assert {key: options[key] for key in expected} == expected
    assert "--object_reuse" in found  # of the job server, not of Beam in Python


def test_a_spark_cluster_gets_java_17s_options_and_its_cores() -> None:
    found = args(*SPARK, "engine.parallelism=2")
    options = beam_options.PipelineOptions(found).get_all_options()
    assert options["spark_master_url"] == "spark://master:7077"
    java = options["job_server_jvm_properties"]
    assert "-Dspark.cores.max=2" in java
    assert "--add-opens=java.base/java.nio=ALL-UNNAMED" in java


def test_dataflow_runs_the_image() -> None:
    options = beam_options.PipelineOptions(args(*DATAFLOW)).get_all_options()
    assert options["runner"] == "DataflowRunner"
    assert options["temp_location"] == "gs://bucket/beam/tmp"
    assert options["sdk_container_image"] == "registry.example.com/two-tower:1"
    assert options["sdk_location"] == "container"
    assert options["project"] == "p"


@pytest.mark.parametrize("version", PUBLISHED)
def test_a_version_that_yaml_takes_for_a_number(version: str) -> None:
    assert f"--flink_version={version}" in args(*FLINK, f"engine.version={version}")


@pytest.mark.parametrize(
    ("assignments", "expected"),
    [
        ((*FLINK, "engine.version=1.99"), rf"supports Flink {', '.join(PUBLISHED)}\."),
        ((*FLINK, "engine.options.obect_reuse=true"), "Did you mean object_reuse"),
        (("engine.options.object_reuse=true",), "is no option of Beam"),
        ((*FLINK, "engine.options.parallelism=2"), "set by engine.parallelism"),
        (
            (*FLINK, "engine.options.streaming=false"),
            "false, which cannot be passed to Beam",
        ),
        ((*FLINK, "engine.options.s3_session_token=abc"), "token holds a secret"),
        (
            (*SPARK, "engine.options.job_server_jvm_properties=[-Dspark.a.secret=b]"),
            "job_server_jvm_properties holds a secret",
        ),
        (
            (*FLINK, "engine.options.max_parallelism=many"),
            "max_parallelism: invalid int value: 'many'",
        ),
        ((*FLINK, "engine.options.experiments={a: 1}"), "not a text, number, true, or"),
        (("engine.master=a:1",), "runner is local, and only portable, flink, spark"),
        ((*DATAFLOW, "engine.job_server_jar=a"), "only flink, spark can have it"),
        ((*FLINK, "engine.master=http://a:1"), "must be host:port of the JobManager"),
        ((*FLINK, "engine.master=null"), "engine.master is missing"),
        ((*SPARK, "engine.master=master:7077"), "such as spark://master:7077"),
        ((*FLINK, "engine.shared_dir=null"), "engine.shared_dir is missing"),
        ((*FLINK, "engine.environment_config=null"), "environment_config is missing"),
        ((*DATAFLOW, "engine.options.region=null"), "options.region is missing"),
        ((*DATAFLOW, "engine.shared_dir=/shared"), "files at gs://"),
        (("engine.runner=beam",), "'local', 'multiprocess', 'portable'"),
    ],
)
def test_a_section_that_no_engine_can_have(
    assignments: tuple[str, ...], expected: str
) -> None:
    with pytest.raises(UsageError, match=expected):
        load((), assignments)


def test_another_runner_drops_the_files_keys_but_no_assigned_ones(
    tmp_path: Path,
) -> None:
    file = tmp_path / "flink.yaml"
    file.write_text(dump(load((), FLINK)))
    assert load([file]).engine.runner == "flink"
    assert load([file], ["engine.runner=local"]) == load()
    assert load([file], ["engine.runner=flink"]) == load([file])
    portable = load(
        [file],
        [
            "engine.master=embed",
            "engine.environment=loopback",
            "engine.runner=portable",
        ],
    ).engine
    assert (portable.master, portable.shared_dir) == ("embed", None)


def test_a_file_whose_section_is_no_mapping(tmp_path: Path) -> None:
    file = tmp_path / "flink.yaml"
    file.write_text("engine: flink\n")
    with pytest.raises(UsageError, match="no section 'engine'"):
        load([file], ["engine.runner=local"])


def test_an_engine_is_no_part_of_what_is_computed() -> None:
    assert load((), FLINK).computed() == load().computed()


@pytest.mark.parametrize("assignments", [FLINK, SPARK])
def test_python_workers_stay_for_the_next_stage(assignments: tuple[str, ...]) -> None:
    options = beam_options.PipelineOptions(args(*assignments))
    kept = options.view_as(beam_options.PortableOptions).environment_cache_millis
    assert int(kept) >= 10_000  # text in Beam 2.59
