"""The two-tower retrieval model, trained on whole windows at once."""

from __future__ import annotations

from typing import Final

import keras
import tensorflow as tf

from trainer.auxiliary_losses import RatingHead, view_loss
from trainer.context import ModelContext
from trainer.dotted_paths import find_class
from trainer.losses import Retrieval, RetrievalLoss
from trainer.target_weights import TargetWeights
from trainer.towers import CandidateTower, QueryTower, Timelines

TOWERS: Final = {"query_tower": QueryTower, "candidate_tower": CandidateTower}
# Share of the events that a view hides, as Yao et al. 2021 hide features.
_MASKED_SHARE: Final = 0.3


class TwoTowerModel(keras.Model):
    """Learns to predict each event of a timeline from the events before it.

    A batch consists of windows of timelines (`trainer.windows`). All target events of a
    window are predicted in one pass. The candidate tower embeds both the events of the
    history and the candidates, so that each movie is learned once.

    Args:
      context: What the towers are constructed with.
      loss: The retrieval loss, which also chooses the candidates of a step.
      rating_weight: Weight of `RatingHead` beside the retrieval loss; 0 for none.
      self_supervised_weight: Weight of `view_loss`; 0 for none.
      target_weights: How much each target counts; None for all the same.
    """

    def __init__(
        self,
        context: ModelContext,
        loss: RetrievalLoss,
        rating_weight: float = 0.0,
        self_supervised_weight: float = 0.0,
        target_weights: TargetWeights | None = None,
    ) -> None:
        super().__init__(name="two_tower")
        config = context.config
        self.query_tower, self.candidate_tower = (
            find_class(f"model.{name}", getattr(config, name), {"default": default})(
                context
            )
            for name, default in TOWERS.items()
        )
        self.num_movies = context.movies.num_movies
        self.embedding_dim = context.embedding_dim
        # The embedding, the time's embedding and the bias.
        self.width = context.embedding_dim + config.time_dim + 1
        self._retrieval_loss = loss
        self.target_weights = target_weights or TargetWeights.of(
            "equal", context.rating_scale
        )
        self._rating_weight = rating_weight
        self._view_weight = self_supervised_weight
        self._view_seed = keras.random.SeedGenerator(context.seed + 2)
        if rating_weight:
            self._rating_head = RatingHead(self.width, context.rating_scale)
        self.built = True  # or Keras would trace `call` twice, first to find its shapes

    def call(self, inputs: dict[str, tf.Tensor], training: bool = False) -> Retrieval:
        """Embeds the target events of windows and the candidates of a step.

        Args:
          inputs: A batch of windows, by name: see `trainer.windows.Windows`.
          training: Whether dropout is on and auxiliary losses are added.

        Returns:
          Queries, targets and candidates.
        """
        movies = inputs["movies"]
        positions = tf.cast(tf.where(inputs["is_target"]), tf.int32)
        targets = tf.gather_nd(movies, positions)
        candidate_ids = self._retrieval_loss.candidate_ids(targets)
        embeddings, event_rows, candidates = self._embed(
            movies, candidate_ids, training
        )
        timelines = Timelines(
            inputs["user_index"],
            inputs["attribute_indices"],
            embed_events(embeddings, event_rows, self.embedding_dim),
            inputs["ratings"],
            inputs["timestamps"],
        )
        retrieval = Retrieval(
            queries=self.query_tower(timelines, positions, training=training),
            targets=targets,
            positives=tf.gather(embeddings, tf.gather_nd(event_rows, positions)),
            candidate_ids=candidate_ids,
            candidates=candidates,
            weights=self.target_weights(tf.gather_nd(inputs["ratings"], positions)),
        )
        if training:
            self._add_auxiliary_losses(retrieval, timelines, positions)
        return retrieval

    def _embed(
        self, movies: tf.Tensor, candidate_ids: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Embeds each movie of the step once, or the whole corpus if the loss needs it.

        Returns:
          Embeddings `[rows, dim]`; the row of each event, int32 `[batch, L]`, -1 at
          padding; and the candidates' embeddings `[c, dim]`.
        """
        if self._retrieval_loss.needs_all_movies:
            embeddings = self.embed_all_movies(training)
            return embeddings, movies, tf.gather(embeddings, candidate_ids)
        wanted = tf.concat([tf.reshape(movies, [-1]), candidate_ids], axis=0)
        ids, rows = tf.unique(tf.maximum(wanted, 0))
        embeddings = self.candidate_tower(ids, training=training)
        event_rows = tf.reshape(rows[: tf.size(movies)], tf.shape(movies))
        candidates = tf.gather(embeddings, rows[tf.size(movies) :])
        return embeddings, tf.where(movies >= 0, event_rows, movies), candidates

    def _add_auxiliary_losses(
        self, retrieval: Retrieval, timelines: Timelines, positions: tf.Tensor
    ) -> None:
        if self._rating_weight:
            ratings = tf.gather_nd(timelines.ratings, positions)
            loss = self._rating_head(retrieval.queries, retrieval.positives, ratings)
            self.add_loss(self._rating_weight * loss)
        if self._view_weight:
            views = [self._masked_view(timelines) for _ in range(2)]
            self.add_loss(self._view_weight * view_loss(*views))

    def _masked_view(self, timelines: Timelines) -> tf.Tensor:
        """Embeds whole windows with some events hidden at random: `[batch, dim]`."""
        is_event = timelines.ratings >= 0
        draws = keras.random.uniform(tf.shape(is_event), seed=self._view_seed)
        shown = tf.cast(draws >= _MASKED_SHARE, timelines.movies.dtype)[:, :, None]
        end = tf.reduce_sum(tf.cast(is_event, tf.int32), axis=1)
        view = timelines._replace(movies=timelines.movies * shown)
        positions = tf.stack([tf.range(tf.size(end)), end], axis=1)
        query = self.query_tower(view, positions, training=True)
        return query[:, : self.embedding_dim]

    def total_loss(self, retrieval: Retrieval) -> tf.Tensor:
        """Returns the retrieval loss plus the auxiliary losses of the last call."""
        return tf.add_n([self._retrieval_loss(retrieval), *self.losses])

    def train_step(self, data: dict[str, tf.Tensor]) -> tf.Tensor:
        """Takes a training step: each replica with its part of the batch.

        Args:
          data: A batch of windows, see `call`.

        Returns:
          The scalar part of this replica in the loss: their sum is that of the step.
        """
        with tf.GradientTape() as tape:
            retrieval = self(data, training=True)
            loss = self._part_of_step(retrieval) * self.total_loss(retrieval)
            scaled = self.optimizer.scale_loss(loss)
        variables = self.trainable_variables
        # Else dense: Keras squares slices of one row each, where Adam is defined by the
        # square of their sum.
        takes = getattr(self.optimizer, "takes_slices", lambda variable: False)
        gradients = [
            gradient
            if gradient is None or takes(variable)
            else tf.convert_to_tensor(gradient)
            for gradient, variable in zip(
                tape.gradient(scaled, variables), variables, strict=True
            )
        ]
        # The optimizer sums the gradients of all replicas.
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss

    def _part_of_step(self, retrieval: Retrieval) -> tf.Tensor | float:
        """Returns the weight of this replica's loss: its share of the step's weights.

        Replicas have windows with more and fewer targets, and some have none in the
        last step of an epoch: equal weights would make another loss of it than one
        device does. A sum over targets needs no weight.
        """
        replica = tf.distribute.get_replica_context()
        if self._retrieval_loss.sums or replica is None:
            return 1.0
        if tf.distribute.get_strategy().num_replicas_in_sync == 1:
            return 1.0
        count = tf.reduce_sum(retrieval.weights)
        total = replica.all_reduce(tf.distribute.ReduceOp.SUM, count)
        return tf.math.divide_no_nan(count, total)

    def row_kinds(self) -> dict[str, str]:
        """Returns what the rows of each table stand for: see `CandidateTower`."""
        return self.query_tower.row_kinds() | self.candidate_tower.row_kinds()

    def embed_all_movies(self, training: bool = False) -> tf.Tensor:
        """Embeds the corpus, the unknown movie last: `[num_movies + 1, dim]`."""
        embeddings: tf.Tensor = self.candidate_tower(
            tf.range(self.num_movies + 1), training=training
        )
        return embeddings


def embed_events(embeddings: tf.Tensor, rows: tf.Tensor, dim: int) -> tf.Tensor:
    """Looks up the embeddings of a timeline's movies, without their time and bias.

    Args:
      embeddings: `[n, width]`.
      rows: int32 `[batch, L]`, rows of `embeddings`, -1 where there is no event.
      dim: Width of a movie's embedding, without its time and bias.

    Returns:
      `[batch, L, dim]`, zero where there is no event.
    """
    # Sliced after the lookup: a slice of the table would be a copy of it.
    return events_alone(tf.gather(embeddings, tf.maximum(rows, 0)), rows, dim)


def events_alone(embedded: tf.Tensor, rows: tf.Tensor, dim: int) -> tf.Tensor:
    """Returns what `embed_events` does, of embeddings that were looked up.

    Args:
      embedded: `[batch, L, width]`, anything where there is no event.
      rows: int32 `[batch, L]`, -1 where there is no event.
      dim: Width of a movie's embedding, without its time and bias.
    """
    # The gradient of `embedded[:, :, :dim]` takes three times as long.
    events = tf.slice(embedded, [0, 0, 0], [-1, -1, dim])
    return events * tf.cast(rows >= 0, embedded.dtype)[:, :, None]
