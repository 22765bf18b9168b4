"""`ivf` with embeddings of 16 instead of 32 bits, in two parts of 8."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.retrieval_index.ivf import IvfIndex

# A number is `scale * (256 * coarse + fine)`, both parts from -128 to 127. The scale
# belongs to a leaf, so that the largest number of it is `_LARGEST`.
_PART: Final = 256
_LARGEST: Final = 127 * _PART
# Movies that are dequantized at once where all are scored.
_BLOCK: Final = 1 << 14
# Movies that are ranked by both parts for each one asked for, and in addition.
_RANKED_AGAIN: Final = 4
_MORE_RANKED: Final = 32


class FixedPointIvfIndex(IvfIndex):
    """Searches leaves by the coarse part, and ranks the best again by both parts.

    The rounded embeddings are what the model serves everywhere: `scores`, by which it
    is evaluated, and `embeddings_of` return them, too. A leaf with a number that is not
    finite is broken as a whole: its embeddings are NaN.
    """

    def _keep(self, embeddings: NDArray[np.float32]) -> None:
        # They are kept by leaf; the blocks of exact search are dequantized.
        self._largest_block = min(self.num_movies, 2 * _BLOCK)

    def _keep_leaves(
        self, embeddings: NDArray[np.float32], slots: NDArray[np.int32]
    ) -> None:
        self.parameters["int8"] = True
        num_leaves, capacity = slots.shape
        # One more leaf has the unknown movie.
        slots = np.concatenate([slots, np.full_like(slots[:1], self.num_movies)])
        coarse = np.empty((*slots.shape, self.dim), np.int8)
        fine = np.empty(embeddings.shape, np.int8)
        scale = np.empty(num_leaves + 1, np.float32)
        for leaf, rows in enumerate(slots):
            used = rows if leaf == num_leaves else rows[rows < self.num_movies]
            numbers = embeddings[used]
            scale[leaf] = max(np.abs(numbers).max(), 1e-30) / _LARGEST
            with np.errstate(invalid="ignore"):
                codes = np.nan_to_num(numbers / scale[leaf]).round().astype(np.int32)
            high = (codes + _PART // 2) // _PART
            coarse[leaf, : len(used)], coarse[leaf, len(used) :] = high, 0
            fine[used] = codes - _PART * high
        self._scale = tf.Variable(scale, trainable=False)
        self._coarse = tf.Variable(coarse, trainable=False)
        self._fine = tf.Variable(fine, trainable=False)
        place = np.append(self._place.numpy(), np.int32(num_leaves * capacity))
        self._place = tf.Variable(place, trainable=False)

    def embeddings_of(self, index: tf.Tensor) -> tf.Tensor:
        """See `RetrievalIndex.embeddings_of`."""
        place = tf.gather(self._place.read_value(), index)
        # Of a view of the same memory, without a copy.
        slots = tf.reshape(self._coarse.read_value(), [-1, self.dim])
        coarse = tf.cast(tf.gather(slots, place), tf.float32)
        fine = tf.cast(tf.gather(self._fine.read_value(), index), tf.float32)
        scale = tf.gather(self._scale.read_value(), place // self._capacity)
        return (_PART * coarse + fine) * scale[..., tf.newaxis]

    def scores(self, query: tf.Tensor) -> tf.Tensor:
        """See `RetrievalIndex.scores`."""
        num_blocks = -(-self.num_movies // _BLOCK)

        def add(block: tf.Tensor, blocks: tf.TensorArray) -> Any:
            start = block * _BLOCK
            end = tf.minimum(start + _BLOCK, self.num_movies)
            scores = self._scores_of(start, end, query)
            return block + 1, blocks.write(block, tf.transpose(scores))

        blocks = tf.TensorArray(
            tf.float32, num_blocks, infer_shape=False, element_shape=[None, None]
        )
        _, blocks = tf.while_loop(
            lambda block, _: block < num_blocks,
            add,
            (tf.constant(0), blocks),
            parallel_iterations=1,
        )
        return tf.transpose(blocks.concat())

    def _scores_of(
        self, start: tf.Tensor | int, end: tf.Tensor | int, query: tf.Tensor
    ) -> tf.Tensor:
        if isinstance(start, int):
            return self.scores(query)
        return tf.matmul(
            query, self.embeddings_of(tf.range(start, end)), transpose_b=True
        )

    def _gathered(self, probed: tf.Tensor) -> tf.Tensor:
        """The coarse part alone, which is enough to choose by."""
        leaves = tf.cast(tf.gather(self._coarse.read_value(), probed), tf.float32)
        scale = _PART * tf.gather(self._scale.read_value(), probed)
        return leaves * scale[:, :, tf.newaxis, tf.newaxis]

    def _top(
        self, scores: tf.Tensor, slots: tf.Tensor, query: tf.Tensor, width: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        again = tf.minimum(
            _RANKED_AGAIN * width + _MORE_RANKED, self._probes * self._capacity
        )
        rough, column = tf.math.top_k(scores, again)
        rows = self._rows_at(slots, column)
        exact = tf.linalg.matvec(self.embeddings_of(rows), query)
        best, place = tf.math.top_k(
            tf.where(rough > -float("inf"), exact, -float("inf")), width
        )
        return best, tf.gather(column, place, batch_dims=1)
