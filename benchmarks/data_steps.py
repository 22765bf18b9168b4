"""StatisticsGen and Transform beside TFX's own executors, in pairs on one machine.

    python benchmarks/data_steps.py EXAMPLES --pairs 2 --results FILE

`EXAMPLES` is an artifact of MovieLensExampleGen, a folder with one `Split-<name>` for
each split. Each measurement is a process of its own, the executors of this project and
TFX's take turns, and imports are not counted. Afterwards the results are compared: the
transformed rows of each split and the statistics of strings must be equal.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

VARIANTS: Final = ("tfx", "ours")
STEPS: Final = ("StatisticsGen", "Transform")
_KIB_PER_MIB: Final = 1024


def main() -> None:
    """Measures what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("examples", type=Path)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS)
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--results", type=Path)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(_measure(options)))
        return
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        for pair in range(options.pairs):
            outputs = {name: Path(scratch, f"{name}-{pair}") for name in VARIANTS}
            for name, output in outputs.items():
                result = {"pair": pair, "executors": name}
                result |= _in_own_process(options, name, output)
                print(json.dumps(result), flush=True)
                if options.results:
                    with options.results.open("a") as out:
                        out.write(json.dumps(result) + "\n")
        print(json.dumps(_compared(outputs["tfx"], outputs["ours"])))


def _in_own_process(
    options: argparse.Namespace, name: str, output: Path
) -> dict[str, Any]:
    command = [sys.executable, __file__, str(options.examples), "--child", name]
    command += ["--output", str(output), "--steps", *options.steps]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    """Returns step -> `wall_s`, `cpu_s` and `peak_rss_mib`."""
    from tfx.components.statistics_gen import executor as stock_statistics
    from tfx.components.transform import executor as stock_transform
    from tfx.types import standard_artifacts

    from components.schema_importer import curated_schema_digest
    from components.schema_importer.component import SchemaImporter
    from pipeline.config import PipelineConfig
    from pipeline.engines.beam_options import beam_args
    from pipeline.pipeline import create_pipeline

    def artifact(kind: Any, name: str) -> Any:
        made = kind()
        made.uri = str(options.output / name)
        Path(made.uri).mkdir(parents=True)
        return made

    config = PipelineConfig()
    pipeline = create_pipeline(
        config,
        pipeline_root=str(options.output / "root"),
        input_base="elsewhere",
        content_fingerprint="unused",
    )
    nodes = {node.id: node for node in pipeline.components}
    stock = {"StatisticsGen": stock_statistics, "Transform": stock_transform}
    schema = artifact(standard_artifacts.Schema, "schema")
    digest = curated_schema_digest(None)
    SchemaImporter.test_call(schema=schema, schema_digest=digest, rating_scale="null")
    outputs = {
        "StatisticsGen": {
            "statistics": [artifact(standard_artifacts.ExampleStatistics, "statistics")]
        },
        "Transform": {
            "transform_graph": [artifact(standard_artifacts.TransformGraph, "graph")],
            "transformed_examples": [artifact(standard_artifacts.Examples, "rows")],
        },
    }
    inputs = {"examples": [_examples(options.examples)], "schema": [schema]}
    result: dict[str, Any] = {}
    for step in options.steps:
        node = nodes[step]
        executor = node.executor_spec.executor_class
        if options.child == "tfx":
            executor = stock[step].Executor
        context = executor.Context(
            beam_pipeline_args=beam_args(config.engine),
            tmp_dir=str(options.output / "tmp"),
        )
        used = {key: inputs[key] for key in node.inputs if key in inputs}
        start = _start()
        executor(context).Do(used, outputs[step], dict(node.exec_properties))
        result[step] = _used_since(start)
    return result


def _examples(folder: Path) -> Any:
    from tfx.types import artifact_utils, standard_artifacts

    examples = standard_artifacts.Examples()
    examples.uri = str(folder)
    splits = sorted(path.name.removeprefix("Split-") for path in folder.glob("Split-*"))
    examples.split_names = artifact_utils.encode_split_names(splits)
    examples.span = 0
    examples.set_string_custom_property("payload_format", "FORMAT_TF_EXAMPLE")
    return examples


def _start() -> tuple[float, float]:
    # Writing 5 resets the peak to what is resident now.
    Path("/proc/self/clear_refs").write_text("5")
    return time.monotonic(), time.process_time()


def _used_since(start: tuple[float, float]) -> dict[str, float]:
    status = Path("/proc/self/status").read_text()
    peak = next(row for row in status.splitlines() if row.startswith("VmHWM"))
    return {
        "wall_s": round(time.monotonic() - start[0], 1),
        "cpu_s": round(time.process_time() - start[1], 1),
        "peak_rss_mib": int(peak.split()[1]) // _KIB_PER_MIB,
    }


def _compared(stock: Path, ours: Path) -> dict[str, Any]:
    """Returns the splits whose rows and whose statistics of strings are equal."""
    import tensorflow as tf
    from tensorflow_metadata.proto.v0 import statistics_pb2

    def rows(folder: Path) -> list[bytes]:
        # Sorted: TFX reads the files of a split in the order of the file system.
        files = list(map(str, folder.glob("*")))
        found = tf.data.TFRecordDataset(files, compression_type="GZIP")
        return sorted(
            tf.train.Example.FromString(row).SerializeToString(deterministic=True)
            for row in found.as_numpy_iterator()
        )

    def strings(folder: Path) -> dict[str, bytes]:
        content = (folder / "FeatureStats.pb").read_bytes()
        found = statistics_pb2.DatasetFeatureStatisticsList.FromString(content)
        return {
            feature.path.step[0]: feature.string_stats.SerializeToString()
            for dataset in found.datasets
            for feature in dataset.features
        }

    found: dict[str, Any] = {}
    for name, read in (("rows", rows), ("statistics", strings)):
        splits = sorted(path.name for path in (stock / name).glob("Split-*"))
        found[name] = {
            s: read(stock / name / s) == read(ours / name / s) for s in splits
        }
    return found


if __name__ == "__main__":
    main()
