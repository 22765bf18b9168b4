"""`preprocessing_fn` of Transform: strings to integers, for training and serving.

Beam runs this graph on the training data, and the served model contains it, so that the
two cannot differ.

A vocabulary of `n` tokens maps them to `0 .. n-1` and every other token to `n`, the one
out-of-vocabulary bucket.
"""

from __future__ import annotations

from typing import Any, Final

import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform.saved.saved_transform_io_v2 import SavedModelLoader

from trainer import features as f
from trainer.movielens import (
    AGE_BOUNDS,
    CHILDRENS,
    GENDERS,
    GENRES,
    NO_WORD,
    OCCUPATIONS,
    TITLE_YEAR,
)
from trainer.serving_contract import (
    MOVIE_VOCABULARY,
    TITLE_VOCABULARY,
    USER_VOCABULARY,
)

FIRST_YEAR: Final = 1900
NUM_YEARS: Final = 150


def preprocessing_fn(
    inputs: dict[str, Any], custom_config: dict[str, Any]
) -> dict[str, Any]:
    """Maps raw rows of any split to the transformed features of `trainer.features`.

    Each vocabulary of ids comes from one split: a `corpus` row has no user, a `train`
    row no movie of its own, and TFT drops the empty strings in their stead.

    Args:
      inputs: Raw features: dense `[B]` for scalars, ragged `[B, None]` for lists.
        Features that a split lacks arrive as their schema default or as empty lists.
      custom_config: `title_tokens`, the size of the title vocabulary.

    Returns:
      Transformed features: dense `[B]` or `[B, n]`, or ragged `[B, None]`.
    """
    users = tft.vocabulary(inputs[f.USER_ID], vocab_filename=USER_VOCABULARY)
    movies = tft.vocabulary(inputs[f.MOVIE_ID], vocab_filename=MOVIE_VOCABULARY)
    transformed = {name: inputs[name] for name in f.PASSED_THROUGH}
    transformed |= {
        f.USER_INDEX: _index(inputs[f.USER_ID], users),
        f.USER_ATTRIBUTE_INDICES: user_attributes(inputs),
        f.MOVIE_INDEX: _index(inputs[f.MOVIE_ID], movies),
        f.MOVIE_INDICES: _index(inputs[f.MOVIE_IDS], movies),
        f.SEEN_MOVIE_INDICES: _index(inputs[f.SEEN_MOVIE_IDS], movies),
        f.HELD_OUT_MOVIE_INDICES: _index(inputs[f.HELD_OUT_MOVIE_IDS], movies),
        f.GENRE_WEIGHTS: genre_weights(inputs[f.GENRES]),
        f.GENRES_TEXT: tf.strings.reduce_join(inputs[f.GENRES], 1, separator="|"),
        f.YEAR_INDEX: year_index(inputs[f.YEAR]),
    }
    if custom_config["title_tokens"]:
        transformed[f.TITLE_TOKEN_INDICES] = _title_tokens(
            inputs[f.TITLE], custom_config["title_tokens"]
        )
    return transformed


def _index(ids: Any, vocabulary: Any) -> Any:
    """Returns the indices of ids; unknown ids go to the out-of-vocabulary bucket."""
    return tft.apply_vocabulary(ids, vocabulary, num_oov_buckets=1)


def _position(values: tf.Tensor, known: tuple[str, ...]) -> tf.Tensor:
    """Returns 1 + the index of each value in `known`, 0 for any other: `[B]` int64."""
    hits = tf.cast(values[:, None] == tf.constant(known)[None, :], tf.int64)
    return tf.reduce_sum(hits * tf.range(1, len(known) + 1, dtype=tf.int64), axis=1)


def user_attributes(inputs: dict[str, Any]) -> tf.Tensor:
    """Returns age bucket, gender and occupation as `[B, 3]` int64, 0 for unknown."""
    age = inputs[f.AGE][:, None]
    bucket = tf.cast(age >= 0, tf.int64) + tf.reduce_sum(
        tf.cast(age >= tf.constant(AGE_BOUNDS, tf.int64), tf.int64), 1, keepdims=True
    )
    others = [
        _position(inputs[f.GENDER], GENDERS)[:, None],
        _position(inputs[f.OCCUPATION], OCCUPATIONS)[:, None],
    ]
    return tf.concat([bucket, *others], axis=1)


def genre_weights(genres: tf.RaggedTensor) -> tf.Tensor:
    """Returns each movie's genres as weights that sum to 1 (or are all 0): `[B, G]`.

    The last column stands for any genre outside `GENRES`.
    """
    names = tf.strings.regex_replace(genres.to_tensor(""), f"^{CHILDRENS}$", "Children")
    hits = tf.cast(names[:, :, None] == tf.constant(GENRES), tf.float32)
    other = tf.cast(names != "", tf.float32) - tf.reduce_sum(hits, axis=2)
    counts = tf.concat(
        [tf.reduce_sum(hits, axis=1), tf.reduce_sum(other, axis=1, keepdims=True)], 1
    )
    return tf.math.divide_no_nan(counts, tf.reduce_sum(counts, axis=1, keepdims=True))


def year_index(year: tf.Tensor) -> tf.Tensor:
    """Returns 1 + the years since 1900, 0 where the year is unknown: `[B]` int64."""
    since = tf.clip_by_value(year - FIRST_YEAR, 0, NUM_YEARS - 2)
    return tf.where(year >= 0, since + 1, tf.zeros_like(year))


def _title_tokens(title: tf.Tensor, size: int) -> tf.RaggedTensor:
    """Returns the indices of the title's words without its year: ragged `[B, None]`.

    The `size` most frequent words have an index each; rarer words share the next one.
    """
    words = title_words(title)
    vocabulary = tft.vocabulary(words, top_k=size, vocab_filename=TITLE_VOCABULARY)
    return _index(words, vocabulary)


def title_words(title: tf.Tensor) -> tf.RaggedTensor:
    """Returns the title's words without its year: ragged `[B, None]`."""
    words = tf.strings.regex_replace(title, TITLE_YEAR, "")
    words = tf.strings.lower(words, encoding="utf-8")
    return tf.strings.split(tf.strings.regex_replace(words, NO_WORD, " "))


class TransformGraph(SavedModelLoader, tf.Module):
    """Applies a Transform graph to raw features, in a form that is cheap to save.

    `TFTransformOutput.transform_features_layer()` does the same as a Keras 2 model, and
    saving that costs seconds, because Keras traces call signatures that nobody uses. As
    a `tf.Module` the loader's tables and vocabulary files are saved with the model that
    it is an attribute of.

    Args:
      tft_output: What Transform wrote.
    """

    def __init__(self, tft_output: tft.TFTransformOutput) -> None:
        tf.Module.__init__(self, name="transform")
        SavedModelLoader.__init__(self, tft_output.transform_savedmodel_dir)

    def __call__(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Transforms the features that can be made of those given."""
        transformed: dict[str, Any] = self.apply_transform_model(raw)
        return transformed
