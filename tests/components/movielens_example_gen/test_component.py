from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import DataConfig
from pipeline.engines.beam_options import BEAM_ARGS
from tests.fixtures.movielens_files import write_csv
from trainer import features as f

pytestmark = pytest.mark.slow


class Runs:
    """Runs the component in one workspace, as `two-tower run` does."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.database = str(root / "metadata.sqlite")

    def run(self, base: Path, config: DataConfig, code_hash: str = "1") -> str:
        """Returns the state of the execution, RUNNING excluded."""
        from ml_metadata import MetadataStore
        from ml_metadata.proto import metadata_store_pb2 as mlmd
        from tfx.orchestration import metadata, pipeline
        from tfx.orchestration.local.local_dag_runner import LocalDagRunner

        from components.movielens_example_gen.component import MovieLensExampleGen
        from components.movielens_example_gen.inputs.spans import content_fingerprint

        fingerprint = content_fingerprint(base, config)
        node = MovieLensExampleGen(str(base), config, fingerprint)
        # As `create_pipeline` does for every node.
        node.exec_properties["code_hash"] = code_hash
        LocalDagRunner().run(
            pipeline.Pipeline(
                pipeline_name="test",
                pipeline_root=str(self.root / "artifacts"),
                components=[node],
                enable_cache=True,
                metadata_connection_config=metadata.sqlite_metadata_connection_config(
                    self.database
                ),
                beam_pipeline_args=BEAM_ARGS,
            )
        )
        connection = mlmd.ConnectionConfig()
        connection.sqlite.filename_uri = self.database
        store = MetadataStore(connection)
        self.artifact = store.get_artifacts()[-1]
        last = store.get_executions()[-1]
        return str(mlmd.Execution.State.Name(last.last_known_state))

    def summary(self) -> dict[str, Any]:
        summary = self.artifact.custom_properties["summary"].string_value
        result: dict[str, Any] = json.loads(summary)
        return result

    def rows(self, split: str) -> list[bytes]:
        import tensorflow as tf

        files = sorted(Path(self.artifact.uri, f"Split-{split}").iterdir())
        assert all(file.suffix == ".gz" for file in files)
        dataset = tf.data.TFRecordDataset([str(p) for p in files], "GZIP")
        return [record.numpy() for record in dataset]


def test_component_caches_by_content_and_accounts_for_each_row(
    tmp_path: Path,
) -> None:
    events = [(u, m, 4, 100 * m + u) for u in range(12) for m in range(1, 6)]
    base = tmp_path / "spans"
    write_csv(base / "span-1", [*events[:30], (1, 2, 99, 5)], range(1, 21))
    write_csv(base / "span-2", [*events[30:], events[0]], [21])
    config = DataConfig(on_bad_row="quarantine", max_quarantined_fraction=0.1)
    runs = Runs(tmp_path)

    assert runs.run(base, config) == "COMPLETE"
    assert runs.artifact.custom_properties["span"].int_value == 2
    assert runs.summary()["ratings"] == {
        "read": 62,
        "train": 48,
        "eval": 12,
        "filtered": 0,
        "duplicate": 1,
        "quarantined": 1,
    }
    rows = {split: runs.rows(split) for split in f.SPLITS}
    assert len(rows[f.CORPUS_SPLIT]) == 21  # also the movies that nobody rated
    assert {s: len(r) for s, r in rows.items()} == runs.summary()["rows"]
    (bad,) = Path(runs.artifact.uri, "quarantine.jsonl").read_text().splitlines()
    assert json.loads(bad)["content"] == "1,2,99,5"

    ratings = base / "span-1" / "ratings.csv"
    os.utime(ratings, (1, 1))
    assert runs.run(base, config) == "CACHED"
    assert runs.run(base, config, code_hash="2") == "COMPLETE"
    assert {split: runs.rows(split) for split in f.SPLITS} == rows
    ratings.write_bytes(ratings.read_bytes().replace(b"1,2,99,5\n", b""))
    assert runs.run(base, config, code_hash="2") == "COMPLETE"
    assert not Path(runs.artifact.uri, "quarantine.jsonl").exists()
