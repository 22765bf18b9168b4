"""Windows of timelines as the model's input, and some of them for validation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer import features as f
from trainer.config import Queries
from trainer.input_pipeline import Columns, Ragged
from trainer.ranking import PADDING

# A validated event needs at least one event before it, to make a query of.
_MIN_VALIDATED_LENGTH: Final = 2
# Bounds of a tenth of the users, `train.validation_queries=auto`: fewer queries are
# too imprecise to compare epochs, and more take time without much more precision. The
# newest events of these users are not learned as targets.
_FEWEST_QUERIES: Final = 50
_MOST_QUERIES: Final = 5000


class Sampling(NamedTuple):
    """Which windows an epoch has.

    Attributes:
      always: bool `[windows]`, those that each epoch has.
      share: Share of the others that an epoch has, drawn anew for each.
    """

    always: NDArray[np.bool_]
    share: float

    @property
    def num_drawn(self) -> int:
        """How many of the others an epoch has."""
        return round(self.share * int((~self.always).sum()))

    @property
    def num_windows(self) -> int:
        """Windows of an epoch."""
        return int(self.always.sum()) + self.num_drawn


class Windows(NamedTuple):
    """Windows padded to one length, `L`. Row `i` of all arrays is one window.

    Attributes:
      user_index: int32 `[windows]`.
      attribute_indices: int32 `[windows, attributes]`.
      movies: int32 `[windows, L]`, vocabulary indices, -1 after the last event.
      ratings: float32 `[windows, L]`, stars, -1 after the last event.
      timestamps: int64 `[windows, L]`, seconds since the epoch, UTC.
      is_target: bool `[windows, L]`, the events to predict.
    """

    user_index: NDArray[np.int32]
    attribute_indices: NDArray[np.int32]
    movies: NDArray[np.int32]
    ratings: NDArray[np.float32]
    timestamps: NDArray[np.int64]
    is_target: NDArray[np.bool_]

    def take(self, rows: NDArray[np.int64] | slice) -> Windows:
        """Returns some of the windows."""
        taken: Any = (column[rows] for column in self)
        return Windows(*taken)

    def tensors(self) -> dict[str, tf.Tensor]:
        """Returns the windows as input of `trainer.model.TwoTowerModel`."""
        return {name: tf.constant(column) for name, column in self._asdict().items()}


def make_windows(columns: Columns, length: int) -> Windows:
    """Pads the train split and marks its targets.

    Args:
      columns: Transformed rows of the train split.
      length: Length to pad to; no window is longer.
    """
    movies: Ragged = columns[f.MOVIE_INDICES]
    position = np.arange(length)
    first_target = columns[f.NUM_CONTEXT][:, None]
    return Windows(
        user_index=columns[f.USER_INDEX].astype(np.int32),
        attribute_indices=columns[f.USER_ATTRIBUTE_INDICES].astype(np.int32),
        movies=movies.padded(PADDING, length).astype(np.int32),
        ratings=columns[f.RATINGS].padded(PADDING, length).astype(np.float32),
        timestamps=columns[f.TIMESTAMPS].padded(PADDING, length),
        is_target=(position >= first_target) & (position < movies.lengths[:, None]),
    )


def num_validated(users: int, part: int, fewest: int) -> int:
    """Returns one in `part` of the users, at least `fewest` and at most 5,000."""
    return int(np.clip(users // part, fewest, _MOST_QUERIES))


def hold_out_newest(
    windows: Windows,
    window_index: NDArray[np.int64],
    num_queries: Queries,
    seed: int,
) -> tuple[Windows, Windows]:
    """Holds out the last training event of some users, to validate on.

    Args:
      windows: The train split.
      window_index: int64 `[windows]`, number of a window among those of its user.
      num_queries: Users at most, drawn at random: see `train.validation_queries`.
      seed: Seed of the draw.

    Returns:
      The windows to train on, and those to validate on, each with one target. Training
      does not see the held-out events as history either, since they are the last.
    """
    order = np.lexsort((window_index, windows.user_index))
    is_newest = np.append(np.diff(windows.user_index[order]) != 0, True)
    lengths = (windows.movies >= 0).sum(axis=1)
    newest = order[is_newest]
    newest = newest[lengths[newest] >= _MIN_VALIDATED_LENGTH]
    if num_queries == "auto":
        num_queries = num_validated(len(newest), 10, _FEWEST_QUERIES)
    drawn = np.random.default_rng(seed).permutation(newest)[:num_queries]
    held_out = np.zeros_like(windows.is_target)
    held_out[drawn, lengths[drawn] - 1] = True
    train = windows._replace(is_target=windows.is_target & ~held_out)
    validation = windows._replace(is_target=held_out)
    has_target = np.flatnonzero(train.is_target.any(axis=1))
    return train.take(has_target), validation.take(drawn)


@contextmanager
def window_dataset(
    windows: Windows,
    batch_size: int,
    seed: int,
    epochs: range = range(1),
    sampling: Sampling | None = None,
) -> Iterator[tf.data.Dataset]:
    """Makes shuffled batches of windows, for the time of a `with` statement.

    Args:
      windows: What to train on.
      batch_size: Windows per batch; the last batch of an epoch may be smaller.
      seed: Seed of the order.
      epochs: Epochs, from 0, whose batches to return. The order within an epoch depends
        only on the seed and the epoch, so that a resumed fit sees the same batches.
      sampling: Which windows an epoch has; None for all.

    Yields:
      Batches of the inputs of `trainer.model.TwoTowerModel`.
    """
    # The graph of the dataset refers to itself and so outlives it: what `batch` takes
    # rows of is taken from it at the end.
    held, nothing = [windows], windows.take(np.zeros(0, np.int64))
    sampling = sampling or Sampling(np.ones(len(windows.is_target), bool), 1.0)
    always, others = (
        tf.constant(np.flatnonzero(mask), tf.int32)
        for mask in (sampling.always, ~sampling.always)
    )

    # AutoGraph would take half a second and find nothing to convert.
    @tf.autograph.experimental.do_not_convert
    def shuffled(epoch: tf.Tensor) -> tf.data.Dataset:
        rows = always
        if sampling.num_drawn:
            # Another seed: the order of what is drawn must not depend on the draw.
            drawn = tf.random.experimental.stateless_shuffle(others, [~seed, epoch])
            rows = tf.concat([always, drawn[: sampling.num_drawn]], axis=0)
        order = tf.random.experimental.stateless_shuffle(rows, [seed, epoch])
        return tf.data.Dataset.from_tensor_slices(order).batch(batch_size)

    @tf.autograph.experimental.do_not_convert
    def batch(order: tf.Tensor) -> dict[str, tf.Tensor]:
        # By NumPy: tensors would be a second copy of all windows.
        columns: tuple[Any, ...] = held[0]
        types = [tf.as_dtype(column.dtype) for column in columns]
        rows = tf.numpy_function(taken, [order], types, stateful=False)
        for tensor, column in zip(rows, columns, strict=True):
            tensor.set_shape([None, *column.shape[1:]])
        return dict(zip(Windows._fields, rows, strict=True))

    def taken(order: NDArray[np.int64]) -> list[NDArray[Any]]:
        for each in held:
            return list(each.take(order))
        # After the end: where training stops early, a thread still prefetches.
        return list(nothing)

    options = tf.data.Options()
    # There is nothing to tune, and the tuning thread can delay the end of the iterator
    # by ten seconds.
    options.autotune.enabled = False
    # All workers make the same batches, and each takes its part of every batch.
    policy = tf.data.experimental.AutoShardPolicy.DATA
    options.experimental_distribute.auto_shard_policy = policy
    dataset = tf.data.Dataset.range(epochs.start, epochs.stop, output_type=tf.int32)
    dataset = dataset.flat_map(shuffled).map(batch)
    try:
        yield dataset.prefetch(2).with_options(options)
    finally:
        held.clear()
