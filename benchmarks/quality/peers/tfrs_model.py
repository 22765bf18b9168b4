"""The model of the TensorFlow Recommenders tutorial, on legacy Keras.

The environment variable TF_USE_LEGACY_KERAS must be 1. Movies are named by their id:
the tutorial's titles name 18 pairs of movies alike.

Source: https://www.tensorflow.org/recommenders/examples/basic_retrieval
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from benchmarks.quality.peers.fitted import Fitted
from benchmarks.quality.split import Array, Events

_CORPUS_BATCH = 128  # as in the tutorial


class TutorialModel(tfrs.Model):
    """Two embeddings and the `Retrieval` task.

    Args:
      events: What it is fitted to.
      settings: `dim`; `log_q`, whether popularity is corrected for and accidental hits
        are removed; `metrics`, whether FactorizedTopK is computed in training.
    """

    def __init__(self, events: Events, settings: dict[str, Any]) -> None:
        """See the class docstring."""
        super().__init__()
        self.users = tf.keras.layers.Embedding(events.num_users, settings["dim"])
        self.movies = tf.keras.layers.Embedding(events.num_movies, settings["dim"])
        self._log_q = settings["log_q"]
        metrics = None
        if settings["metrics"]:
            ids = tf.data.Dataset.range(events.num_movies).batch(_CORPUS_BATCH)
            metrics = tfrs.metrics.FactorizedTopK(ids.map(self.movies))
        self.task = tfrs.tasks.Retrieval(
            metrics=metrics, remove_accidental_hits=self._log_q
        )

    def compute_loss(
        self, features: dict[str, tf.Tensor], training: bool = False
    ) -> tf.Tensor:
        """See `tfrs.Model`."""
        movie = features["movie"]
        log_q = {
            "candidate_sampling_probability": features["probability"],
            "candidate_ids": movie,
        }
        # The tutorial computes its metrics in training too, which is the default.
        return self.task(
            self.users(features["user"]),
            self.movies(movie),
            **(log_q if self._log_q else {}),
        )


def fit(events: Events, settings: dict[str, Any], seed: int) -> Fitted:
    """Trains it with Adagrad, as the tutorial does."""
    model, _ = train(events, settings, seed)
    users, movies = (layer.embeddings.numpy() for layer in (model.users, model.movies))

    def score(asked: Array) -> Array:
        return np.asarray(users[asked] @ movies.T, np.float32)

    return Fitted(score, users.size + movies.size)


def train(
    events: Events, settings: dict[str, Any], seed: int
) -> tuple[TutorialModel, list[float]]:
    """Trains it and returns it with the seconds of each epoch."""
    tf.keras.utils.set_random_seed(seed)
    model = TutorialModel(events, settings)
    model.compile(optimizer=tf.keras.optimizers.Adagrad(settings["learning_rate"]))
    seconds = _Seconds()
    model.fit(
        _dataset(events, settings["batch_size"], seed),
        epochs=settings["epochs"],
        verbose=0,
        callbacks=[seconds],
    )
    return model, seconds.of_epochs


class _Seconds(tf.keras.callbacks.Callback):
    """Measures each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.of_epochs: list[float] = []
        self._started = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.of_epochs.append(time.monotonic() - self._started)


def _dataset(events: Events, batch_size: int, seed: int) -> tf.data.Dataset:
    """Shuffled batches, all in memory."""
    counts = np.bincount(events.movie, minlength=events.num_movies)
    probability = (counts / counts.sum()).astype(np.float32)
    columns = {
        "user": events.user,
        "movie": events.movie,
        "probability": probability[events.movie],
    }
    dataset = tf.data.Dataset.from_tensor_slices(columns).cache()
    shuffled = dataset.shuffle(len(events.user), seed=seed)
    return shuffled.batch(batch_size).prefetch(tf.data.AUTOTUNE)
