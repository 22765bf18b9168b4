"""`two-tower batch-recommend --shadow`: the model of the chain and a disturbed copy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.cli.shadow_tables import print_comparison
from pipeline.serving.batch import choice
from pipeline.serving.batch.session import Request
from pipeline.serving.batch.shadow import compare
from tests.conftest import Chain
from trainer.errors import UsageError

pytestmark = pytest.mark.slow
K = 5


@pytest.fixture(scope="module")
def serving(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A serving directory with the model that is live alone."""
    folder = tmp_path_factory.mktemp("serving")
    version = Path(chain.first["pushed_model"]).name
    shutil.copytree(chain.workspace / "serving" / version, folder / version)
    return folder


@pytest.fixture(scope="module")
def candidate(serving: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model with noise on its embeddings, as a training would make one."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("candidate") / "model"
    (live,) = serving.iterdir()
    model = tf.saved_model.load(str(live))
    rng = np.random.default_rng(0)
    for variable in model.signatures["serving_default"].variables:
        if variable.dtype == tf.float32 and variable.shape.rank == 2:
            spread = float(tf.math.reduce_std(variable))
            variable.assign_add(rng.normal(scale=spread, size=variable.shape))
    tf.saved_model.save(model, str(folder), signatures=dict(model.signatures))
    (folder / "assets.extra").mkdir(exist_ok=True)
    info = "assets.extra/model_info.json"
    shutil.copy(live / info, folder / info)
    return folder


def test_a_candidate_is_compared_without_being_served(
    serving: Path, candidate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(serving.rglob("*"))
    live = choice.live_model(str(serving))
    models = (live, choice.candidate_model(str(serving), str(candidate), live))
    report = compare(Request(models, k=K, shard_size=64), str(tmp_path / "out"))
    assert sorted(serving.rglob("*")) == before
    json.dumps(report, allow_nan=False)

    rows = pq.read_table(tmp_path / "out").to_pylist()
    assert report["users"] == len(rows) == 200
    overlaps = [
        len(set(row["movie_ids"]) & set(row["candidate_movie_ids"])) / K for row in rows
    ]
    overlap = report[f"overlap@{K}"]
    assert overlap["mean"] == pytest.approx(np.mean(overlaps))
    assert 0 < overlap["mean"] < 1
    assert sum(overlap["distribution"].values()) == pytest.approx(1)
    assert overlap["distribution"]["0.4"] == pytest.approx(overlaps.count(0.4) / 200)
    first = np.mean(
        [row["movie_ids"][0] != row["candidate_movie_ids"][0] for row in rows]
    )
    assert report["first_movie_changes"] == pytest.approx(first)
    for column, role in (("", "live"), ("candidate_", "candidate")):
        shown = {movie for row in rows for movie in row[f"{column}movie_ids"]}
        assert report[role]["coverage"] == pytest.approx(len(shown) / 61)
        assert report[role]["movies_per_user"] == K
        assert (
            0 < report[role]["latency_ms"]["p50"] <= report[role]["latency_ms"]["p99"]
        )
        assert report[role]["users_per_second"] > 0
    top = report["gain"][0]
    for role, column in (("live", "movie_ids"), ("candidate", "candidate_movie_ids")):
        share = np.mean([top["movie_id"] in row[column] for row in rows])
        assert top[f"{role}_share_of_users"] == pytest.approx(share)
    changes = [
        round(m["candidate_share_of_users"] - m["live_share_of_users"], 9)
        for m in report["gain"]
    ]
    assert changes == sorted(changes, reverse=True)

    print_comparison(report)
    printed = capsys.readouterr().out
    assert f"{first:.1%} of the users get another first movie" in printed
    assert str(candidate) in printed


def test_what_cannot_be_compared_is_named(serving: Path, tmp_path: Path) -> None:
    live = choice.live_model(str(serving))
    same = tmp_path / "same"
    shutil.copytree(live.path, same)
    for named, message in (
        (live.name, "is the same model as version"),
        (str(same), "is the same model as version"),
        ("", "has no version beside"),
        ("canary", "has the label canary"),
        ("nowhere", "is no label, version or folder"),
        (str(tmp_path), "has no complete saved_model.pb"),
    ):
        with pytest.raises(UsageError, match=message):
            choice.candidate_model(str(serving), named, live)
