from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.movielens_example_gen import ingest
from pipeline.config import DataConfig
from pipeline.datasets.synthesize import synthesize
from pipeline.datasets.synthetic_ratings import (
    FAVOURITES,
    SynthesisConfig,
    config_of_size,
    favourite_of,
    group_of,
    parse_count,
)
from trainer.errors import UserError

SMALL = SynthesisConfig(ratings=4_000, users=200, movies=200)


@pytest.mark.parametrize("family", ["csv", "ml-100k"])
def test_files_are_read_back_and_hold_the_planted_taste(
    tmp_path: Path, family: str
) -> None:
    config = SynthesisConfig(ratings=4_000, users=200, movies=200, format=family)  # type: ignore[arg-type]
    written = synthesize(tmp_path / "data", config)
    prepared = ingest.prepare(tmp_path / "data", DataConfig())
    ratings = prepared.data.ratings
    assert prepared.data.num_read == written == len(ratings)
    assert written == pytest.approx(config.ratings, rel=0.15)
    assert prepared.timelines.counts["duplicate"] == 0
    assert bool(prepared.data.users) == (family == "ml-100k")

    users = np.array([int(u) - 1 for u in ratings.user_ids])[ratings.users]
    movies = np.array([int(m) - 1 for m in ratings.movie_ids])[ratings.movies]
    groups = group_of(movies)
    liked = np.zeros(len(users), bool)
    for which in range(FAVOURITES):
        liked |= groups == favourite_of(users, which)
    assert liked.mean() > 0.7  # by chance it would be .2
    assert ratings.ratings[liked].mean() > ratings.ratings[~liked].mean() + 0.5

    counts = np.sort(np.bincount(movies, minlength=config.movies))[::-1]
    assert counts[:20].sum() > 2.5 * counts[-20:].sum()


def test_equal_seeds_give_equal_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        synthesize(tmp_path / name, SMALL)
    synthesize(
        tmp_path / "c", SynthesisConfig(ratings=4_000, users=200, movies=200, seed=7)
    )
    a, b, c = ((tmp_path / n / "ratings.csv").read_bytes() for n in "abc")
    assert a == b
    assert a != c


def test_nothing_is_overwritten_and_impossible_sizes_are_refused(
    tmp_path: Path,
) -> None:
    with pytest.raises(UserError, match="exists"):
        synthesize(tmp_path, SMALL)
    with pytest.raises(UserError, match="more than half of 10 users"):
        SynthesisConfig(ratings=1000, users=10, movies=20)
    with pytest.raises(UserError, match="users is 0"):
        config_of_size(100_000, users=0)
    with pytest.raises(UserError, match="seed is -1"):
        SynthesisConfig(seed=-1)
    with pytest.raises(UserError, match="at most 1,000,000,000"):
        config_of_size(parse_count("9999999m"))


def test_sizes_are_read_like_people_write_them() -> None:
    assert parse_count("25m") == 25_000_000
    assert parse_count("2.5K") == 2_500
    with pytest.raises(UserError, match="'many' is not a number"):
        parse_count("many")
    with pytest.raises(UserError, match="is not a number"):
        parse_count("9" * 400)
    assert 50_000 < config_of_size(25_000_000).movies < 70_000
