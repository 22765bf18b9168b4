"""The lists and scales of MovieLens, edition by edition, and who must agree."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_metadata.proto.v0 import schema_pb2

from components.movielens_example_gen.inputs import editions
from components.movielens_example_gen.readers import movies_and_users
from components.movielens_example_gen.readers.bad_rows import BadRows
from components.movielens_example_gen.rows import slicing
from components.schema_importer import curated_schema_text
from pipeline.datasets import synthesize
from trainer import features as f
from trainer import movielens
from trainer.movielens import GENRES, HALF_STARS, OCCUPATIONS, RatingScale

# As u.occupation of ML-100K lists them.
ML_100K_OCCUPATIONS = """administrator artist doctor educator engineer entertainment
executive healthcare homemaker lawyer librarian marketing none other programmer retired
salesman scientist student technician writer""".split()
# The READMEs' genres: of ML-100K and ML-1M, of ML-10M, of ML-20M and later.
EARLY_GENRES = """Action|Adventure|Animation|Children's|Comedy|Crime|Documentary|Drama|
Fantasy|Film-Noir|Horror|Musical|Mystery|Romance|Sci-Fi|Thriller|War|Western"""
LATE_GENRES = EARLY_GENRES.replace("Children's", "Children") + "|IMAX"


def _schema(rating_scale: tuple[float, ...] | None = None) -> schema_pb2.Schema:
    text = curated_schema_text(rating_scale)
    return text_format.Parse(text, schema_pb2.Schema())


def test_schema_has_the_values_that_are_written() -> None:
    domains = {
        feature.name: set(feature.string_domain.value)
        for feature in _schema().feature
        if feature.HasField("string_domain")
    }
    assert domains == {
        f.GENDER: set(movielens.GENDERS),
        f.USER_KIND: {slicing.WARM.decode(), slicing.COLD.decode()},
        f.HELD_OUT_OPINION: {slicing.LIKED.decode(), slicing.NOT_LIKED.decode()},
        f.HELD_OUT_POPULARITY: {name.decode() for name in slicing.POPULARITY},
    }


@pytest.mark.parametrize(
    ("scale", "bounds"), [(None, (0.5, 5)), ((1, 10, 1), (1, 10)), ((0, 1, 1), (0, 1))]
)
def test_schema_has_the_domain_of_the_rating_scale(
    scale: tuple[float, ...] | None, bounds: tuple[float, float]
) -> None:
    domains = {feature.name: feature.float_domain for feature in _schema(scale).feature}
    for name in (f.RATINGS, f.HELD_OUT_RATINGS):
        assert (domains[name].min, domains[name].max) == bounds


def test_ml_100k_flags_are_in_the_order_of_u_genre() -> None:
    assert len(movielens.ML_100K_GENRES) == 19
    assert movielens.ML_100K_GENRES[:5] == (
        *("unknown", "Action", "Adventure", "Animation"),
        "Children's",
    )
    assert movielens.ML_100K_GENRES[11:13] == ("Horror", "Musical")


def _users(path: Path, family: editions.Family, rows: list[str]) -> list[str]:
    """Reads a users file; returns the occupation of each user."""
    path.write_text("\n".join(rows), encoding="latin-1")
    bad = BadRows()
    users = movies_and_users.read_users([path], family, bad)
    assert not bad.rows
    return [user.occupation for user in users.values()]


def test_every_occupation_of_ml_100k_is_a_value(tmp_path: Path) -> None:
    rows = [f"{i}|24|M|{name}|85711" for i, name in enumerate(ML_100K_OCCUPATIONS)]
    read = _users(tmp_path / "u.user", editions.TAB, rows)
    assert read == ML_100K_OCCUPATIONS
    # First, so that a model of ML-100K has the rows that it always had.
    assert list(OCCUPATIONS[: len(read)]) == read


def test_every_occupation_of_ml_1m_is_a_value_of_its_own(tmp_path: Path) -> None:
    rows = [f"{code + 1}::F::1::{code}::48067" for code in range(21)]
    read = _users(tmp_path / "users.dat", editions.ML_1M, rows)
    assert len(set(read)) == 21
    assert set(read) <= set(OCCUPATIONS)
    assert {"clerical", "K-12 student", "farmer"} <= set(read)


def test_every_age_group_of_ml_1m_is_a_group_of_its_own() -> None:
    ages = (1, 18, 25, 35, 45, 50, 56)
    groups = {slicing.bucket(age, movielens.AGE_BOUNDS) for age in ages}
    assert len(groups) == len(ages) == len(movielens.AGE_BOUNDS) + 1


@pytest.mark.parametrize("listed", [EARLY_GENRES, LATE_GENRES])
def test_every_published_genre_is_a_value(listed: str) -> None:
    names = {name.strip() for name in listed.split("|")}
    plain = {"Children" if n == movielens.CHILDRENS else n for n in names}
    assert plain <= set(GENRES)


def test_synthetic_users_have_published_occupations() -> None:
    assert set(synthesize._OCCUPATIONS) <= set(OCCUPATIONS)


@given(st.integers(0, 20), st.integers(0, 200), st.sampled_from([0.1, 0.25, 0.5, 1.0]))
def test_a_scale_counts_its_ratings(first: int, steps: int, step: float) -> None:
    scale = RatingScale(first * step, (first + steps) * step, step)
    assert scale.fault() == ""
    assert scale.num_ratings == steps + 1
    assert scale.lowest <= scale.liked <= scale.highest + 1e-9


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ((-10, 10, 0.25), "must be at least 0: shift the ratings"),
        ((5, 1, 1), "the highest rating, 1, is below the lowest, 5"),
        ((1, 10, 4), "steps of 4 do not lead from 1 to 10"),
        ((1, 10, 0), "steps of 0 do not lead from 1 to 10"),
        ((1, 10, -1), "steps of -1 do not lead"),
        ((0, 1, 1e-6), "it has 1,000,001 ratings"),
        ((1, 1e300, 1e-300), "it has inf ratings, more than 1,000"),
        ((0, math.inf, 1), "must be finite"),
        ((math.nan, 5, 1), "must be finite"),
    ],
)
def test_numbers_that_are_no_scale_are_named(
    values: tuple[float, float, float], fault: str
) -> None:
    assert fault in RatingScale(*values).fault()


def test_ratings_are_shown_in_their_unit() -> None:
    assert HALF_STARS.shown(4.5) == "4.5★"
    assert RatingScale(1, 10, 1).shown(8) == "8 of 10"
    assert [RatingScale.of(v).liked for v in (None, (1, 5, 1), (1, 10, 1))] == [4, 4, 8]
