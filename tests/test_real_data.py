"""The real MovieLens-100K, from fetch to recommendation."""

from __future__ import annotations

import math
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from components.evaluator.retrieval_summary import RetrievalSummary
from tests.conftest import Chain

pytestmark = [pytest.mark.real_data, pytest.mark.slow]

# A folder with the edition's files, for machines that cannot fetch it.
DATA_VARIABLE = "TWO_TOWER_ML_100K"


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """A workspace in which the chain ran on ML-100K with all defaults."""
    workspace = tmp_path_factory.mktemp("real") / "workspace"
    own = os.environ.get(DATA_VARIABLE)
    data = Path(own) if own else workspace / "data" / "ml-100k"
    chain = Chain(workspace, data, data)
    if not own:
        fetched = chain.two_tower("data", "fetch", "ml-100k")
        if fetched.exit_code:
            pytest.skip(f"set {DATA_VARIABLE}: {fetched.errors.strip()}")
    outcome = chain.two_tower("run", "--data-dir", str(chain.data))
    assert outcome.exit_code == 0, outcome.output + outcome.errors
    yield replace(chain, first=chain.summary())


def test_it_is_far_better_than_popularity(real: Chain) -> None:
    metrics = real.first["metrics"]
    assert metrics["candidate"]["hit_rate@10"] >= 0.20
    assert metrics["candidate"]["ndcg@10"] >= 0.10
    # Above what anyone has published for this protocol: then it leaks.
    assert metrics["candidate"]["hit_rate@10"] <= 0.30


def test_popularity_is_near_the_published_values(real: Chain) -> None:
    """.083 and .041 on average over the order of tied events; one order is drawn."""
    popularity = real.first["metrics"]["popularity"]
    assert popularity["hit_rate@10"] == pytest.approx(0.083, abs=0.006)
    assert popularity["ndcg@10"] == pytest.approx(0.041, abs=0.004)


def test_popularity_equals_a_count_in_plain_python(real: Chain) -> None:
    """From the ratings file, but for the queries, which are those of the run."""
    lines = (real.data / "u.data").read_text().splitlines()
    rated = {tuple(line.split("\t")[:2]) for line in lines}
    held_out = {user: movie for user, movie, _ in _queries(real.workspace)}
    counts = Counter(movie for user, movie in rated if held_out[user] != movie)
    movies = {movie for _, movie in rated}
    ranks = [
        1 + sum(counts[other] >= counts[movie] for other in movies - seen - {movie})
        for _, movie, seen in _queries(real.workspace)
    ]
    popularity = real.first["metrics"]["popularity"]
    hits = [rank for rank in ranks if rank <= 10]
    assert len(ranks) == 943
    assert popularity["hit_rate@10"] == pytest.approx(len(hits) / 943, rel=1e-12)
    gain = sum(1 / math.log2(rank + 1) for rank in hits)
    assert popularity["ndcg@10"] == pytest.approx(gain / 943, rel=1e-12)


def _queries(workspace: Path) -> Iterator[tuple[str, str, set[str]]]:
    """Yields user, held-out movie and seen movies of each row of the eval split."""
    import tensorflow as tf  # noqa: PLC0415 - takes five seconds to import

    pattern = "artifacts/MovieLensExampleGen/examples/*/Split-eval/*"
    files = [str(path) for path in workspace.glob(pattern)]
    for row in tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator():
        features = tf.train.Example.FromString(row).features.feature
        user, movie, seen = (
            [value.decode() for value in features[name].bytes_list.value]
            for name in ("user_id", "held_out_movie_ids", "seen_movie_ids")
        )
        yield user[0], movie[0], set(seen)


def test_it_is_blessed_and_pushed_within_the_memory_limit(real: Chain) -> None:
    summary = real.first
    assert summary["blessed"]
    assert Path(summary["pushed_model"], "saved_model.pb").is_file()
    assert summary["peak_rss_mb"] < 3072


@pytest.fixture(scope="module")
def evaluate_broken(
    real: Chain, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], RetrievalSummary]:
    """Evaluates the pushed model, broken in some way, against itself as live model."""
    from tfx.types import standard_artifacts  # noqa: PLC0415 - takes seconds to import

    from pipeline.config import EvalConfig  # noqa: PLC0415
    from tests.fixtures.broken_models import break_model  # noqa: PLC0415
    from tests.fixtures.eval_bench import Bench, is_blessed, made  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("evaluate_broken")
    bench = Bench(folder / "bench")
    [path] = (real.workspace / "artifacts/MovieLensExampleGen/examples").iterdir()
    examples = made(standard_artifacts.Examples, path)
    examples.split_names = '["train", "eval", "corpus"]'
    live = made(standard_artifacts.Model, folder / "live")
    pushed = Path(real.first["pushed_model"])
    shutil.copytree(pushed, folder / "live" / "Format-Serving")

    def evaluate(way: str) -> RetrievalSummary:
        broken = made(standard_artifacts.Model, folder / way)
        break_model(pushed, folder / way / "Format-Serving", way)
        evaluated = bench.evaluate(examples, broken, live, EvalConfig())
        assert is_blessed(evaluated.blessing) == evaluated.summary["blessed"]
        return evaluated.summary

    return evaluate


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ("constant", "hit_rate@10 is 0.0000, but at least"),
        ("nan", "hit_rate@10 is 0.0000, but at least"),
        ("random", "x popularity (0.04"),
        ("shifted", "x popularity (0.04"),
    ],
)
def test_the_model_broken_on_purpose_is_refused_with_the_reason(
    evaluate_broken: Callable[[str], RetrievalSummary], way: str, reason: str
) -> None:
    summary = evaluate_broken(way)
    assert not summary["blessed"]
    assert any(reason in text for text in summary["reasons"]), summary["reasons"]
    lost = "against the live model (0.1"
    assert any(lost in text and ", but" in text for text in summary["reasons"])
    assert summary["candidate"]["hit_rate@10"] < 0.05


def test_user_42_gets_ten_movies_that_are_new(real: Chain) -> None:
    outcome = real.two_tower("recommend", "--user", "42")
    assert outcome.exit_code == 0, outcome.errors
    movies = re.findall(r"^ +\d+ +(\d+) ", outcome.output, re.MULTILINE)
    rows = (line.split("\t") for line in (real.data / "u.data").open())
    assert len(set(movies)) == 10
    assert not set(movies) & {row[1] for row in rows if row[0] == "42"}
