"""The two-tower retrieval model: both towers, trained on whole windows at once."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from trainer.history import PooledHistory
from trainer.losses import Retrieval, RetrievalLoss
from trainer.towers import CandidateFeatures, CandidateTower, QueryTower


class TwoTowerModel(keras.Model):
    """Learns to find each event of a timeline from the events before it.

    A batch is windows of timelines (`trainer.input_pipeline`). All target events of a
    window are predicted in one pass; history events and candidates share the candidate
    tower's embeddings, so that a movie's meaning is learned once.

    Args:
      query_tower: Embeds users at positions of their timelines.
      candidate_tower: Embeds movies.
      num_movies: Size of the corpus.
      loss: Which candidates a step compares with, and how.
    """

    def __init__(
        self,
        query_tower: QueryTower,
        candidate_tower: CandidateTower,
        num_movies: int,
        loss: RetrievalLoss,
    ) -> None:
        """See the class docstring."""
        super().__init__(name="two_tower")
        self.query_tower = query_tower
        self.candidate_tower = candidate_tower
        self.num_movies = num_movies
        self._retrieval_loss = loss

    def call(self, inputs: dict[str, tf.Tensor], training: bool = False) -> Retrieval:
        """Embeds the target events of windows and the candidates of a step.

        Args:
          inputs: int32 `user_index [batch]`, `user_attribute_indices [batch, 3]`,
            `movie_indices [batch, L]` (-1 behind the last event), and bool
            `is_target [batch, L]`.
          training: Whether dropout is on.

        Returns:
          Queries, targets and candidates.
        """
        movies, candidate_ids = (
            inputs["movie_indices"],
            self._retrieval_loss.candidate_ids(),
        )
        # Each movie of the step is embedded once: of a large corpus only a part is.
        wanted = tf.concat([tf.reshape(movies, [-1]), candidate_ids], axis=0)
        ids, place = tf.unique(tf.maximum(wanted, 0))
        embeddings = self.candidate_tower(ids)
        candidate_place = place[tf.size(movies) :]
        movie_place = tf.reshape(place[: tf.size(movies)], tf.shape(movies))
        positions = tf.cast(tf.where(inputs["is_target"]), tf.int32)
        queries = self.query_tower(
            inputs["user_index"],
            inputs["user_attribute_indices"],
            embed_events(embeddings, tf.where(movies >= 0, movie_place, movies)),
            positions,
            training=training,
        )
        return Retrieval(
            queries=queries,
            targets=tf.gather_nd(movies, positions),
            positives=tf.gather(embeddings, tf.gather_nd(movie_place, positions)),
            candidate_ids=candidate_ids,
            candidates=tf.gather(embeddings, candidate_place),
        )

    @tf.autograph.experimental.do_not_convert
    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Keras' own step, without AutoGraph, which takes seconds and finds nothing."""
        logs: dict[str, tf.Tensor] = super().train_step(data)
        return logs

    def embed_all_movies(self) -> tf.Tensor:
        """Embeds the corpus, the unknown movie last: `[num_movies + 1, dim + 1]`."""
        embeddings: tf.Tensor = self.candidate_tower(
            ops.arange(self.num_movies + 1, dtype="int32")
        )
        return embeddings

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> tf.Tensor:
        """Returns the mean cross-entropy of the targets, in nats."""
        return self._retrieval_loss(y_pred)


def embed_events(embeddings: tf.Tensor, movies: tf.Tensor) -> tf.Tensor:
    """Looks up a timeline's movies among embedded ones, without their bias.

    Args:
      embeddings: `[n, dim + 1]`.
      movies: int32 `[batch, L]`, rows of `embeddings`, -1 where there is no event.

    Returns:
      `[batch, L, dim]`, zero where there is no event.
    """
    is_event = tf.cast(movies >= 0, embeddings.dtype)[:, :, None]
    return tf.gather(embeddings[:, :-1], tf.maximum(movies, 0)) * is_event


def build_model(
    features: CandidateFeatures,
    num_users: int,
    attribute_sizes: tuple[int, ...],
    config: dict[str, Any],
    *,
    loss: RetrievalLoss,
    seed: int,
) -> TwoTowerModel:
    """Makes the model that `pipeline.config.ModelConfig` describes.

    Args:
      features: Attributes of the corpus.
      num_users: Users of the vocabulary.
      attribute_sizes: Values of each user attribute, 0 ("unknown") included.
      config: The fields of a `ModelConfig`.
      loss: What training minimizes.
      seed: Seed of dropout; that of initial weights is Keras' global one.

    Returns:
      An unbuilt model.
    """
    dim = config["embedding_dim"]
    return TwoTowerModel(
        QueryTower(
            num_users,
            attribute_sizes,
            dim,
            PooledHistory(config["recency_decays"]),
            dropout=config["dropout"],
            user_dropout=config["user_dropout"],
            seed=seed,
        ),
        CandidateTower(features, dim),
        features.num_movies,
        loss,
    )
