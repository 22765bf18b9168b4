"""`two-tower export-embeddings`: another index finds what the model recommends."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.serving.client import ModelInfo
from pipeline.serving.embeddings import METADATA, export_embeddings
from tests.conftest import Chain
from tests.fixtures.served_versions import make_model
from trainer.errors import UsageError, UserError
from trainer.serving_contract import SERVING_DEFAULT, STORED_TIMELINES

pytestmark = pytest.mark.slow


def embeddings(table: pa.Table) -> np.ndarray:
    column = table["embedding"].combine_chunks()
    return column.flatten().to_numpy().reshape(len(table), column.type.list_size)


def test_faiss_finds_what_the_model_recommends(chain: Chain, tmp_path: Path) -> None:
    faiss = pytest.importorskip("faiss")
    import tensorflow as tf  # noqa: PLC0415 - takes seconds

    outcome = chain.two_tower(
        "export-embeddings", "--queries", "--json", "--out", str(tmp_path / "out")
    )
    assert outcome.exit_code == 0, outcome.errors
    done = json.loads(outcome.output)
    movies = pq.read_table(tmp_path / "out" / "movies.parquet")
    users = pq.read_table(tmp_path / "out" / "users.parquet")
    assert (len(movies), len(users)) == (done["movies"], done["users"])
    index = faiss.IndexFlatIP(done["dim"])
    index.add(embeddings(movies))
    scores, rows = index.search(embeddings(users), len(movies))
    movie_ids, titles = movies["movie_id"].to_pylist(), movies["title"].to_pylist()
    model = tf.saved_model.load(done["model"])
    for start in range(0, len(users), 64):
        ids = [
            user.encode() for user in users["user_id"].to_pylist()[start : start + 64]
        ]
        seen = STORED_TIMELINES.call(model, user_id=ids)["movie_ids"]
        answer = SERVING_DEFAULT.call(model, user_id=ids, k=[10] * len(ids))
        for row in range(len(ids)):
            served = [m.decode() for m in answer["movie_ids"][row] if m]
            excluded = {m.decode() for m in seen[row]}
            found = [
                (n, score)
                for n, score in zip(rows[start + row], scores[start + row], strict=True)
                if movie_ids[n] not in excluded
            ][:10]
            assert [movie_ids[n] for n, _ in found] == served
            got = answer["scores"][row][: len(served)]
            np.testing.assert_allclose([s for _, s in found], got, rtol=1e-5, atol=1e-5)
            assert titles[found[0][0]] == answer["titles"][row][0].decode()


def test_it_is_the_same_each_time_and_never_replaced(
    chain: Chain, tmp_path: Path
) -> None:
    (version,) = (chain.workspace / "serving").glob("[0-9]*")
    info = ModelInfo.read(version)
    for name in ("one", "two"):
        export_embeddings(info, tmp_path / name, queries=False)
    one, two = (tmp_path / name / "movies.parquet" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    schema = pq.read_schema(one)
    assert json.loads(schema.metadata[METADATA])["version"] == version.name
    assert schema.field("genres").type == pa.list_(pa.string())
    with pytest.raises(UsageError, match="is there already"):
        export_embeddings(info, tmp_path / "one", queries=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_a_damaged_model_leaves_nothing(chain: Chain, tmp_path: Path) -> None:
    (version,) = (chain.workspace / "serving").glob("[0-9]*")
    damaged = make_model(tmp_path / "model")
    info = dataclasses.replace(ModelInfo.read(version), path=str(damaged))
    with pytest.raises(UserError, match="TensorFlow cannot load the model"):
        export_embeddings(info, tmp_path / "out", queries=True)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
