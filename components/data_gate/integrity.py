"""What a schema cannot express: ids, aligned lists, and what was held out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from components.data_gate.findings import Finding, FindingCounter
from components.data_gate.inputs import GateInputs
from components.example_rows import arrow_batches, list_column
from trainer import features
from trainer.movielens import NO_WORD, TITLE_YEAR

_NO_IDS: Final = pa.array([], pa.large_binary())


def check_integrity(inputs: GateInputs) -> list[Finding]:
    """Finds what a schema cannot express: blank, duplicate, unknown and leaked ids."""
    counter = FindingCounter(features.CORPUS_SPLIT)
    corpus = _check_corpus(
        arrow_batches(inputs.examples, features.CORPUS_SPLIT), counter
    )
    findings = counter.findings()
    if inputs.needs_title_words:
        findings += _check_titles(arrow_batches(inputs.examples, features.CORPUS_SPLIT))
    for split in (features.TRAIN_SPLIT, features.EVAL_SPLIT):
        counter = FindingCounter(split)
        for batch in arrow_batches(inputs.examples, split):
            _check_ids(batch, corpus, counter)
            _check_aligned(batch, counter)
            if split == features.TRAIN_SPLIT:
                _check_targets(batch, counter)
            else:
                _check_held_out(batch, corpus, counter)
        findings += counter.findings()
    return findings


def _check_corpus(
    batches: Iterable[pa.RecordBatch], counter: FindingCounter
) -> pa.Array:
    """Checks that no movie id is blank or there twice; returns the distinct ones."""
    ids = pa.concat_arrays(
        [_NO_IDS, *(_ids(batch, features.MOVIE_ID) for batch in batches)]
    )
    _check_blank(features.MOVIE_ID, ids, counter)
    counts = pc.value_counts(ids)
    twice = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    counter.add_values(features.MOVIE_ID, "be unique", twice)
    return pc.unique(ids)


def _check_titles(batches: Iterable[pa.RecordBatch]) -> list[Finding]:
    """Finds a corpus whose vocabulary of title words would be empty.

    TFT gives such a vocabulary a made-up token, which no model must have.
    """
    count = 0
    for batch in batches:
        titles = _ids(batch, features.TITLE).cast(pa.large_string())
        for pattern in (TITLE_YEAR, NO_WORD):
            titles = pc.replace_substring_regex(titles, pattern, "")
        if pc.any(pc.not_equal(titles, "")).as_py():
            return []
        count += len(titles)
    finding = Finding(
        split=features.CORPUS_SPLIT,
        feature=features.TITLE,
        expected="have a word in some row",
        found="no title with more than a year or punctuation",
        count=count,
        remedy="Give the movies titles, or train without them: "
        "--set model.title_tokens=0.",
    )
    return [finding]


def _check_ids(
    batch: pa.RecordBatch, corpus: pa.Array, counter: FindingCounter
) -> None:
    for name in (features.MOVIE_IDS, features.HELD_OUT_MOVIE_IDS):
        ids = _ids(batch, name)
        _check_blank(name, ids, counter)
        filled = ids.filter(pc.greater(pc.binary_length(ids), 0))
        unknown = filled.filter(pc.invert(pc.is_in(filled, value_set=corpus)))
        counter.add_values(name, "be in the corpus", unknown)
    _check_blank(features.USER_ID, _ids(batch, features.USER_ID), counter)


def _check_blank(name: str, ids: pa.Array, counter: FindingCounter) -> None:
    trimmed = pc.binary_length(pc.utf8_trim_whitespace(ids.cast(pa.large_string())))
    counter.add_values(name, "not be blank", ids.filter(pc.equal(trimmed, 0)))


def _check_aligned(batch: pa.RecordBatch, counter: FindingCounter) -> None:
    lengths = _lengths(batch, features.MOVIE_IDS)
    for name in (features.RATINGS, features.TIMESTAMPS):
        other = _lengths(batch, name)
        if lengths is not None and other is not None:
            differ = int(np.count_nonzero(lengths != other))
            counter.add_rows(name, "be as long as movie_ids", "another length", differ)


def _check_targets(batch: pa.RecordBatch, counter: FindingCounter) -> None:
    """Counts train rows without a target, which would train nothing."""
    lengths = _lengths(batch, features.MOVIE_IDS)
    column = list_column(batch, features.NUM_CONTEXT)
    if lengths is None or column is None:
        return
    context = pc.list_flatten(column).to_numpy(zero_copy_only=False)
    if len(context) == len(lengths):
        empty = int(np.count_nonzero(lengths <= context))
        expected = "hold more events than num_context"
        counter.add_rows(features.MOVIE_IDS, expected, "no target", empty)


def _check_held_out(
    batch: pa.RecordBatch, corpus: pa.Array, counter: FindingCounter
) -> None:
    """Finds held-out movies that are also seen: leaked, or left out of the ranking."""
    seen = _row_and_movie(batch, features.SEEN_MOVIE_IDS, corpus)
    held_out = _row_and_movie(batch, features.HELD_OUT_MOVIE_IDS, corpus)
    leaked = np.intersect1d(seen, held_out) % max(len(corpus), 1)
    expected = "not be in seen_movie_ids of the same row"
    leaked_ids = corpus.take(pa.array(leaked))
    counter.add_values(features.HELD_OUT_MOVIE_IDS, expected, leaked_ids)


def _row_and_movie(
    batch: pa.RecordBatch, name: str, corpus: pa.Array
) -> NDArray[np.int64]:
    """Returns row * corpus size + movie's index in the corpus, for known movies."""
    column = list_column(batch, name)
    if column is None:
        return np.empty(0, np.int64)
    indices = pc.index_in(pc.list_flatten(column), value_set=corpus)
    rows = pc.list_parent_indices(column).to_numpy(zero_copy_only=False)
    known = pc.is_valid(indices).to_numpy(zero_copy_only=False)
    index = pc.fill_null(indices, 0).to_numpy(zero_copy_only=False).astype(np.int64)
    return np.asarray((rows * len(corpus) + index)[known])


def _ids(batch: pa.RecordBatch, name: str) -> pa.Array:
    column = list_column(batch, name)
    return _NO_IDS if column is None else pc.list_flatten(column)


def _lengths(batch: pa.RecordBatch, name: str) -> NDArray[np.int64] | None:
    """Returns the number of values in each row, 0 where the feature is missing."""
    column = list_column(batch, name)
    if column is None:
        return None
    lengths = pc.fill_null(pc.list_value_length(column), 0)
    return np.asarray(lengths.to_numpy(zero_copy_only=False))
