"""Asks a pushed model, with TensorFlow alone: no TFX and no Keras."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.serving.lean_imports import NOT_NEEDED_TO_SERVE, without
from trainer.errors import UsageError, UserError

# What a movie of a history without ratings is taken to have got, in stars.
_HISTORY_RATING: Final = 4.0


@dataclass(frozen=True)
class Recommendation:
    """One recommended movie.

    Attributes:
      rank: 1 is best.
      movie_id: As in the edition.
      title: As published, with the year.
      genres: Separated by `|`.
      score: Dot product of both towers; it orders the movies of one query only.
    """

    rank: int
    movie_id: str
    title: str
    genres: str
    score: float


@dataclass(frozen=True)
class ModelInfo:
    """What `assets.extra/model_info.json` says of a model, read without TensorFlow.

    Attributes:
      path: Folder of the SavedModel.
      dataset: Edition that it was trained on.
      corpus_size: Movies that it can recommend.
      num_users: Users with a stored timeline.
    """

    path: Path
    dataset: str
    corpus_size: int
    num_users: int

    @classmethod
    def read(cls, path: Path) -> ModelInfo:
        """Reads it.

        Raises:
          UserError: It is absent or damaged.
        """
        file = path / "assets.extra" / "model_info.json"
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            return cls(
                path,
                str(content["dataset"]),
                int(content["corpus_size"]),
                int(content["num_users"]),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"The model {path} has no readable assets.extra/model_info.json",
                "Push a new model with `two-tower run --no-cache`.",
            ) from error

    def check_k(self, k: int) -> None:
        """Refuses a number of movies that the model cannot give.

        Raises:
          UsageError: `k` is below 1 or above the corpus.
        """
        if not 1 <= k <= self.corpus_size:
            raise UsageError(
                f"-k is {k}, but the model has {self.corpus_size:,} movies",
                f"Give a number from 1 to {self.corpus_size}.",
            )


class PushedModel:
    """A loaded SavedModel."""

    def __init__(self, info: ModelInfo) -> None:
        """Imports TensorFlow and loads the model, which takes some seconds."""
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        with without(NOT_NEEDED_TO_SERVE), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the packages that TensorFlow imports
            import tensorflow as tf
        self._tf = tf
        self._info = info
        self._model = tf.saved_model.load(str(info.path))

    def for_user(self, user_id: str, k: int) -> list[Recommendation]:
        """Recommends to a user whom the model knows.

        Raises:
          UsageError: The model does not know the user, or see `ModelInfo.check_k`.
        """
        self._info.check_k(k)
        if not self._known("known_user", user_id=[user_id])[0]:
            raise UsageError(
                f"The model knows no user {user_id!r} ({self._info.num_users:,} users "
                f"of {self._info.dataset})",
                "Give another id, or what the person watched: --history 50,172,181.",
            )
        tf = self._tf
        return _ranked(
            self._model.signatures["serving_default"](
                user_id=tf.constant([user_id]), k=tf.constant(k)
            )
        )

    def for_history(self, movie_ids: Sequence[str], k: int) -> list[Recommendation]:
        """Recommends to somebody whom the model has never seen.

        Args:
          movie_ids: What was watched, oldest first.
          k: Number of movies.

        Raises:
          UsageError: A movie is not in the corpus, or see `ModelInfo.check_k`.
        """
        self._info.check_k(k)
        known = self._known("known_movie", movie_id=list(movie_ids))
        unknown = [movie_ids[i] for i, found in enumerate(known) if not found]
        if unknown:
            raise UsageError(
                f"--history names unknown movies: {', '.join(unknown)}",
                f"Give movie ids of {self._info.dataset}, separated by commas.",
            )
        tf = self._tf
        now = int(time.time())
        times = list(range(now - len(movie_ids), now))  # one second apart, in order
        return _ranked(
            self._model.signatures["recommend_from_history"](
                user_id=tf.constant([""]),
                movie_ids=tf.constant([list(movie_ids)]),
                ratings=tf.fill([1, len(movie_ids)], _HISTORY_RATING),
                timestamps=tf.constant([times], tf.int64),
                k=tf.constant(k),
            )
        )

    def _known(self, signature: str, **ids: list[str]) -> list[bool]:
        constants = {name: self._tf.constant(values) for name, values in ids.items()}
        found = self._model.signatures[signature](**constants)["known"]
        return [bool(value) for value in found.numpy()]


def _ranked(outputs: dict[str, Any]) -> list[Recommendation]:
    """The only row of a batch, without the padding where too few movies are left."""
    columns = [
        outputs[name].numpy()[0] for name in ("movie_ids", "titles", "genres", "scores")
    ]
    return [
        Recommendation(
            rank, movie_id.decode(), title.decode(), genres.decode(), float(score)
        )
        for rank, (movie_id, title, genres, score) in enumerate(
            zip(*columns, strict=True), start=1
        )
        if movie_id
    ]
