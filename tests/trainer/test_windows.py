"""Windows as the model's input: padding, targets, validation, order."""

from __future__ import annotations

import weakref
from collections import Counter

import numpy as np

from tests.fixtures import small_model as small
from tests.fixtures.small_model import ragged
from trainer import features as f
from trainer.input_pipeline import Columns
from trainer.ranking import PADDING
from trainer.windows import hold_out_newest, make_windows, window_dataset


def overlapping() -> Columns:
    """One user of eight events in windows of six: four of the second are context.

    And one of a single event, whose timeline has nothing before its last event.
    """
    timeline = list(range(8))
    rows = [timeline[:6], timeline[2:8], [9]]
    return {
        f.USER_INDEX: np.array([0, 0, 1]),
        f.USER_ATTRIBUTE_INDICES: np.zeros((3, 3), np.int64),
        f.MOVIE_INDICES: ragged(rows),
        f.RATINGS: ragged([[5.0] * len(row) for row in rows], np.float32),
        f.TIMESTAMPS: ragged([[10 * event for event in row] for row in rows]),
        f.NUM_CONTEXT: np.array([0, 4, 0]),
        f.WINDOW_INDEX: np.array([0, 1, 0]),
    }


def test_every_event_is_a_target_exactly_once() -> None:
    windows = make_windows(overlapping(), length=7)
    counts: Counter[int] = Counter()
    with window_dataset(windows, batch_size=1, seed=1) as batches:
        for batch in batches:
            assert batch["movies"].shape == (1, 7)
            targets = batch["movies"].numpy()[batch["is_target"].numpy()]
            counts.update(targets.tolist())
    assert counts == Counter([*range(8), 9])


def test_ratings_and_times_are_padded_like_movies() -> None:
    windows = make_windows(overlapping(), length=7)
    is_event = windows.movies != PADDING
    np.testing.assert_array_equal(windows.ratings, np.where(is_event, 5.0, PADDING))
    np.testing.assert_array_equal(
        windows.timestamps[is_event], 10 * windows.movies[is_event]
    )


def test_validation_holds_out_each_users_newest_event() -> None:
    columns = overlapping()
    train, validation = hold_out_newest(
        make_windows(columns, 7), columns[f.WINDOW_INDEX], num_queries=10, seed=1
    )
    assert validation.movies[validation.is_target].tolist() == [7]
    assert sorted(train.movies[train.is_target].tolist()) == [*range(7), 9]


def test_validated_users_are_drawn_by_the_seed() -> None:
    columns = small.train_columns()
    windows = make_windows(columns, small.WINDOW_LENGTH)

    def users(seed: int) -> list[int]:
        _, validation = hold_out_newest(windows, columns[f.WINDOW_INDEX], 3, seed)
        return sorted(validation.user_index.tolist())

    assert users(1) == users(1)
    assert len({*users(1)}) == len(users(1)) == 3
    assert len({tuple(users(seed)) for seed in range(5)}) > 1


def test_the_order_changes_with_the_epoch_and_repeats_with_the_seed() -> None:
    windows = make_windows(small.train_columns(), small.WINDOW_LENGTH)

    def order(seed: int) -> list[list[int]]:
        epochs = []
        for epoch in range(3):
            with window_dataset(windows, 1, seed, range(epoch, epoch + 1)) as batches:
                epochs.append([int(batch["user_index"][0]) for batch in batches])
        return epochs

    assert order(5) == order(5)
    assert order(5)[0] != order(5)[1]


def test_batches_do_not_keep_the_windows_in_memory() -> None:
    """Of large data they are a gigabyte, which the export then lacks."""
    windows = make_windows(small.train_columns(), small.WINDOW_LENGTH)
    with window_dataset(windows, 1, 1) as batches:
        assert next(iter(batches))
    column = weakref.ref(windows.movies)
    del windows
    assert column() is None


def test_what_is_prefetched_after_an_early_stop_is_no_error() -> None:
    """Its exception would be in the log of a training that stopped as it should."""
    windows = make_windows(overlapping(), length=7)
    with window_dataset(windows, 1, 1, range(9)) as batches:
        iterator = iter(batches)
        next(iterator)
    rest = [len(batch["movies"]) for batch in iterator]
    assert len(rest) == 9 * 3 - 1
    assert sum(rest) < len(rest)
