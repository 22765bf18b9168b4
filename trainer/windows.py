"""Windows of timelines as the model's input, and a slice of them for validation."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer import features as f
from trainer.input_pipeline import PADDING, Columns, Ragged

# What a query is made of needs a place before it.
_SHORTEST_VALIDATED: Final = 2


class Windows(NamedTuple):
    """Windows padded to one length, `L`. Row `i` of all arrays is one window.

    Attributes:
      user_index: int32 `[windows]`.
      attribute_indices: int32 `[windows, attributes]`.
      movies: int32 `[windows, L]`, vocabulary indices, -1 behind the last event.
      ratings: float32 `[windows, L]`, stars, -1 behind the last event.
      timestamps: int64 `[windows, L]`, seconds since the epoch, UTC.
      is_target: bool `[windows, L]`, the events that are to be predicted.
    """

    user_index: NDArray[np.int32]
    attribute_indices: NDArray[np.int32]
    movies: NDArray[np.int32]
    ratings: NDArray[np.float32]
    timestamps: NDArray[np.int64]
    is_target: NDArray[np.bool_]

    def take(self, rows: NDArray[np.int64]) -> Windows:
        """Returns some of the windows."""
        taken: Any = (column[rows] for column in self)
        return Windows(*taken)


def make_windows(columns: Columns, length: int) -> Windows:
    """Pads and masks the train split, once for all epochs.

    Args:
      columns: Transformed rows of the train split.
      length: Events of a window at most.
    """
    movies: Ragged = columns[f.MOVIE_INDICES]
    place = np.arange(length)
    first_target = columns[f.NUM_CONTEXT][:, None]
    return Windows(
        user_index=columns[f.USER_INDEX].astype(np.int32),
        attribute_indices=columns[f.USER_ATTRIBUTE_INDICES].astype(np.int32),
        movies=movies.padded(PADDING, length).astype(np.int32),
        ratings=columns[f.RATINGS].padded(PADDING, length).astype(np.float32),
        timestamps=columns[f.TIMESTAMPS].padded(PADDING, length),
        is_target=(place >= first_target) & (place < movies.lengths[:, None]),
    )


def hold_out_newest(
    windows: Windows, window_index: NDArray[np.int64], num_queries: int, seed: int
) -> tuple[Windows, Windows]:
    """Takes the last training event of some users out of training, to validate on.

    Args:
      windows: The train split.
      window_index: int64 `[windows]`, place of a window among its user's.
      num_queries: Users at most, drawn at random.
      seed: Seed of the draw.

    Returns:
      The windows to train on, and those to validate on, of which one event is a target.
      What is validated on is no history in training either: nothing comes after it.
    """
    order = np.lexsort((window_index, windows.user_index))
    is_newest = np.append(np.diff(windows.user_index[order]) != 0, True)
    lengths = (windows.movies >= 0).sum(axis=1)
    newest = order[is_newest]
    newest = newest[lengths[newest] >= _SHORTEST_VALIDATED]
    drawn = np.random.default_rng(seed).permutation(newest)[:num_queries]
    held_out = np.zeros_like(windows.is_target)
    held_out[drawn, lengths[drawn] - 1] = True
    train = windows._replace(is_target=windows.is_target & ~held_out)
    validation = windows._replace(is_target=held_out)
    return train.take(np.flatnonzero(train.is_target.any(axis=1))), validation.take(
        drawn
    )


def window_dataset(
    windows: Windows, batch_size: int, seed: int, epochs: range = range(1)
) -> tf.data.Dataset:
    """Makes shuffled batches of windows.

    Args:
      windows: What to train on.
      batch_size: Windows per batch; the last batch of an epoch may be smaller.
      seed: Seed of the order.
      epochs: Which epochs' batches, one epoch after the other. Their order follows from
        the seed and the epoch alone, so that a continued fit sees the same.

    Returns:
      Batches of the inputs of `trainer.model.TwoTowerModel`.
    """
    columns = {name: tf.constant(column) for name, column in windows._asdict().items()}
    rows = tf.range(len(windows.is_target))

    def shuffled(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(rows, [seed, epoch])
        return tf.data.Dataset.from_tensor_slices(order).batch(batch_size)

    def batch(order: tf.Tensor) -> dict[str, tf.Tensor]:
        return {name: tf.gather(column, order) for name, column in columns.items()}

    dataset = tf.data.Dataset.range(epochs.start, epochs.stop, output_type=tf.int32)
    dataset = dataset.flat_map(shuffled).map(batch)
    return dataset.prefetch(2).with_options(_options())


def _options() -> tf.data.Options:
    options = tf.data.Options()
    # There is nothing to tune, and the thread that tunes can hold up the end of the
    # iterator for ten seconds.
    options.autotune.enabled = False
    # Several workers make the same batches, and take their parts of each.
    policy = tf.data.experimental.AutoShardPolicy.DATA
    options.experimental_distribute.auto_shard_policy = policy
    return options
