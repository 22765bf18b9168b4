"""Computes a batch in blocks of rows, so that memory does not grow with the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import tensorflow as tf

# Bytes of all that is computed for one block: enough for the loop to cost nothing,
# little beside the 3 GiB that a run takes.
BLOCK_BYTES: Final = 64 << 20
_MAX_ROWS: Final = 1 << 20


def rows_per_block(bytes_per_row: tf.Tensor) -> tf.Tensor:
    """Returns how many rows fill a block, at least one: int32 scalar.

    Args:
      bytes_per_row: integer scalar, what is in memory at once for a row.
    """
    rows = BLOCK_BYTES // tf.maximum(tf.cast(bytes_per_row, tf.int64), 1)
    return tf.cast(tf.clip_by_value(rows, 1, _MAX_ROWS), tf.int32)


def in_blocks(
    compute: Callable[[slice], Sequence[tf.Tensor]],
    num_rows: tf.Tensor,
    block: tf.Tensor,
    outputs: Sequence[tuple[tf.DType, Any]],
) -> list[tf.Tensor]:
    """Computes one block of rows after the other.

    Args:
      compute: Maps a slice of rows to the outputs of these rows.
      num_rows: int32 scalar, rows of the batch.
      block: int32 scalar, rows of a block; the last one may have fewer.
      outputs: Type and width of each output.

    Returns:
      Each output for all rows: `[num_rows, width]`.
    """
    nothing = [tf.zeros([0, width], dtype) for dtype, width in outputs]

    def compute_block(start: tf.Tensor, *done: tf.Tensor) -> Any:
        computed = compute(slice(start, tf.minimum(start + block, num_rows)))
        # There are few blocks, and a list of their outputs takes more time.
        joined = (tf.concat(parts, 0) for parts in zip(done, computed, strict=True))
        return (start + block, *joined)

    _, *done = tf.while_loop(
        lambda start, *_: start < num_rows,
        compute_block,
        (tf.constant(0), *nothing),
        shape_invariants=(
            tf.TensorShape([]),
            *(tf.TensorShape([None, each.shape[1]]) for each in nothing),
        ),
        parallel_iterations=1,
    )
    return done
