"""The lists of MovieLens, and the schema that must agree with them."""

from __future__ import annotations

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from components.movielens_example_gen.rows import slicing
from components.schema_importer import curated_schema_text
from trainer import features as f
from trainer import movielens


def test_schema_has_the_values_that_are_written() -> None:
    schema = text_format.Parse(curated_schema_text(), schema_pb2.Schema())
    domains = {
        feature.name: set(feature.string_domain.value)
        for feature in schema.feature
        if feature.HasField("string_domain")
    }
    assert domains == {
        f.GENDER: set(movielens.GENDERS),
        f.USER_KIND: {slicing.WARM.decode(), slicing.COLD.decode()},
        f.HELD_OUT_POPULARITY: {name.decode() for name in slicing.POPULARITY},
    }


def test_ml_100k_flags_are_in_the_order_of_u_genre() -> None:
    assert len(movielens.ML_100K_GENRES) == 19
    assert movielens.ML_100K_GENRES[:5] == (
        *("unknown", "Action", "Adventure", "Animation"),
        "Children's",
    )
    assert movielens.ML_100K_GENRES[11:13] == ("Horror", "Musical")
    assert len(movielens.OCCUPATIONS) == len(movielens.ML_1M_OCCUPATIONS) == 21
