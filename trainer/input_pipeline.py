"""Reads transformed Examples into arrays: the data that models are trained on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from numpy.typing import NDArray

from trainer import features as f
from trainer.config import ModelConfig
from trainer.context import CandidateFeatures
from trainer.errors import UserError
from trainer.id_hashes import hash_ids
from trainer.ranking import PADDING
from trainer.serving_contract import (
    MOVIE_VOCABULARY,
    TITLE_VOCABULARY,
    USER_VOCABULARY,
)

_READ_ROWS: Final = 4096
_TRAIN_COLUMNS: Final = (
    f.USER_ID,
    f.USER_INDEX,
    f.USER_ATTRIBUTE_INDICES,
    f.MOVIE_INDICES,
    f.RATINGS,
    f.TIMESTAMPS,
    f.NUM_CONTEXT,
    f.WINDOW_INDEX,
)


class Ragged(NamedTuple):
    """Lists of different lengths: row `i` is `values[splits[i] : splits[i + 1]]`."""

    values: NDArray[Any]
    splits: NDArray[Any]

    @property
    def lengths(self) -> NDArray[Any]:
        """Length of every row."""
        return np.diff(self.splits)

    def take(self, rows: NDArray[Any], axis: int = 0) -> Ragged:
        """Returns some of the rows, as `numpy.ndarray.take` does; `axis` is 0."""
        lengths = self.lengths[rows]
        splits = np.concatenate([[0], np.cumsum(lengths)])
        moved = np.repeat(self.splits[rows] - splits[:-1], lengths)
        return Ragged(self.values[moved + np.arange(splits[-1])], splits)

    def padded(self, value: float, width: int | None = None) -> NDArray[Any]:
        """Returns the rows as a matrix, padded with `value`."""
        lengths = self.lengths
        width = int(lengths.max(initial=0)) if width is None else width
        matrix = np.full((len(lengths), width), value, self.values.dtype)
        matrix[np.arange(width) < lengths[:, None]] = self.values
        return matrix


Columns = dict[str, Any]


class Corpus(NamedTuple):
    """All movies, in the order of the vocabulary.

    Attributes:
      movie_ids: bytes `[num_movies]`.
      titles: bytes `[num_movies]`.
      genres: bytes `[num_movies]`, joined by `|`.
      num_ratings: int64 `[num_movies]`, events of the train split.
      features: What the candidate tower reads, with one more row for unknown movies.
    """

    movie_ids: NDArray[Any]
    titles: NDArray[Any]
    genres: NDArray[Any]
    num_ratings: NDArray[Any]
    features: CandidateFeatures


class TrainingData(NamedTuple):
    """The data that a model is trained on.

    Attributes:
      train: Transformed rows of the train split.
      corpus: The movies.
      num_users: Users of the vocabulary.
      vocabularies: Name to tokens, bytes `[n]`, by index; needed for a warm start only.
    """

    train: Columns
    corpus: Corpus
    num_users: int
    vocabularies: Mapping[str, NDArray[Any]] = MappingProxyType({})


def read_training_data(fn_args: Any, model: ModelConfig) -> TrainingData:
    """Reads the splits `train` and `corpus`; nothing of the eval split.

    Args:
      fn_args: TFX's `FnArgs`.
      model: The section `model` of the configuration.

    Raises:
      UserError: If a split is empty, or a vocabulary.
    """
    tft_output = tft.TFTransformOutput(fn_args.transform_graph_path)
    spec = tft_output.transformed_feature_spec()
    num_title_tokens = 1  # the out-of-vocabulary bucket
    if model.title_tokens:
        num_title_tokens += tft_output.vocabulary_size_by_name(TITLE_VOCABULARY)
    files = fn_args.train_files
    corpus_files = [file for file in files if f"Split-{f.CORPUS_SPLIT}" in file]
    train_files = [file for file in files if file not in corpus_files]
    train = read_columns(train_files, spec, _TRAIN_COLUMNS)
    num_users = tft_output.vocabulary_size_by_name(USER_VOCABULARY)
    # TFT gives a vocabulary without a token a made-up one, which no model must have.
    if (train[f.USER_INDEX] >= num_users).all():
        raise UserError(
            "No row of the train split has a user id",
            "Give every rating a user id.",
        )
    corpus = read_corpus(corpus_files, spec, num_title_tokens)
    names = [USER_VOCABULARY, MOVIE_VOCABULARY]
    names += [TITLE_VOCABULARY] if model.title_tokens else []
    vocabularies = {
        name: np.array(tft_output.vocabulary_by_name(name), bytes) for name in names
    }
    return TrainingData(train, corpus, num_users, vocabularies)


def files_of_split(patterns: Sequence[str], split: str) -> list[str]:
    """Returns those of TFX's file patterns that are of one split."""
    return [path for path in patterns if f"/Split-{split}/" in path]


def read_columns(
    files: Sequence[str],
    spec: dict[str, Any],
    names: Iterable[str],
    *,
    may_be_empty: bool = False,
) -> Columns:
    """Reads some features of gzipped TFRecord files of `tf.train.Example`.

    The rows of users are in the order of MovieLensExampleGen: users by the hash of
    their id, windows by time. Transform writes them in an order that depends on how
    Beam's engine divides the work, which must not change what a seed draws.

    Args:
      files: File patterns.
      spec: Parsing specification of the features.
      names: Features to read; those that are not in `spec` are left out.
      may_be_empty: Whether it is in order for the files to have no rows.

    Returns:
      Feature to array `[rows, ...]`, or to `Ragged` for lists.

    Raises:
      UserError: If the files have no rows, but must have some.
    """
    wanted = {name: spec[name] for name in names if name in spec}
    paths = tf.constant(tf.io.gfile.glob(list(files)), tf.string)
    dataset = tf.data.TFRecordDataset(
        paths, compression_type="GZIP", num_parallel_reads=None
    )
    # One batch is unpacked while another is parsed.
    dataset = dataset.batch(_READ_ROWS).prefetch(1)

    @tf.autograph.experimental.do_not_convert  # nothing to convert, which takes a while
    def parse(rows: tf.Tensor) -> dict[str, Any]:
        return tf.io.parse_example(rows, wanted)

    dataset = dataset.map(parse)
    batches = list(dataset)
    if not batches and may_be_empty:
        batches = [tf.io.parse_example(tf.constant([], tf.string), wanted)]
    if not batches:
        raise UserError(
            f"No transformed row in {', '.join(files)}",
            "Run again without the cache: two-tower run --no-cache",
        )
    return _in_order(
        {name: _concatenate([batch[name] for batch in batches]) for name in wanted}
    )


def _in_order(columns: Columns) -> Columns:
    if f.USER_ID not in columns:
        return columns
    users, codes = np.unique(columns[f.USER_ID], return_inverse=True)
    keys = [hash_ids(users)[codes]]
    if f.WINDOW_INDEX in columns:
        keys.insert(0, columns[f.WINDOW_INDEX])
    order = np.lexsort(keys)  # the last key counts most
    if np.array_equal(order, np.arange(len(order))):
        return columns
    return take_rows(columns, order)


def take_rows(columns: Columns, rows: NDArray[Any]) -> Columns:
    """Returns some of the rows of all columns."""
    return {name: column.take(rows, axis=0) for name, column in columns.items()}


def _concatenate(parts: list[Any]) -> NDArray[Any] | Ragged:
    if not isinstance(parts[0], tf.RaggedTensor):
        return np.concatenate([part.numpy() for part in parts])
    lengths = np.concatenate([part.row_lengths().numpy() for part in parts])
    return Ragged(
        values=np.concatenate([part.flat_values.numpy() for part in parts]),
        splits=np.concatenate([[0], np.cumsum(lengths)]),
    )


def read_corpus(
    files: Sequence[str], spec: dict[str, Any], num_title_tokens: int
) -> Corpus:
    """Reads the corpus split.

    Args:
      files: Patterns of the corpus split's transformed Examples.
      spec: Parsing specification of transformed features.
      num_title_tokens: Size of the title vocabulary with its out-of-vocabulary bucket.

    Returns:
      The movies, sorted by vocabulary index.

    Raises:
      UserError: If there are no movies, two rows have the same movie id, or no title
        has a word, although title words are to have an embedding.
    """
    names = (f.MOVIE_INDEX, f.MOVIE_ID, f.TITLE, f.GENRES_TEXT, f.NUM_RATINGS)
    attributes = (f.GENRE_WEIGHTS, f.YEAR_INDEX, f.TITLE_TOKEN_INDICES)
    columns = read_columns(files, spec, (*names, *attributes))
    order = np.argsort(columns[f.MOVIE_INDEX], kind="stable")
    if not np.array_equal(columns[f.MOVIE_INDEX][order], np.arange(len(order))):
        raise UserError(
            f"The corpus has {len(order)} rows, but they are not one per movie id",
            "Remove the duplicate movies from the movies file",
        )
    tokens = columns.get(f.TITLE_TOKEN_INDICES)
    if tokens is not None and not len(tokens.values):
        raise UserError(
            f"None of the {len(order)} titles has a word (a year alone is none)",
            "Give the movies titles, or train without them: --set model.title_tokens=0",
        )
    padded = np.zeros((len(order), 0)) if tokens is None else tokens.padded(PADDING)
    return Corpus(
        movie_ids=columns[f.MOVIE_ID][order],
        titles=columns[f.TITLE][order],
        genres=columns[f.GENRES_TEXT][order],
        num_ratings=columns[f.NUM_RATINGS][order],
        features=CandidateFeatures(
            _with_unknown(columns[f.GENRE_WEIGHTS][order], 0),
            _with_unknown(columns[f.YEAR_INDEX][order].astype(np.int32), 0),
            _with_unknown(padded[order].astype(np.int32), PADDING),
            num_title_tokens,
            _with_unknown(columns[f.NUM_RATINGS][order] > 0, value=False),
        ),
    )


def _with_unknown(rows: NDArray[Any], value: int) -> NDArray[Any]:
    """Adds the row of the unknown movie."""
    return np.concatenate([rows, np.full_like(rows[:1], value)])
