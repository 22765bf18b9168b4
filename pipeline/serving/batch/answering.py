"""A loaded model that answers batches of users."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.serving.batch.job import Filters, Job, Model
from pipeline.serving.tensorflow_alone import import_tensorflow
from trainer import features as f
from trainer.errors import UserError
from trainer.serving_contract import (
    CATALOGUE,
    KNOWN_MOVIE,
    KNOWN_USER,
    RECOMMEND,
    SERVING_DEFAULT,
    STORED_USERS,
    Signature,
)

_NEW_MODEL = "Push a new model with `two-tower run --no-cache`."


class Answers(NamedTuple):
    """What a model recommends to some users.

    Attributes:
      movie_ids: object `[users, k]`, bytes; `b""` where there is none.
      scores: float32 `[users, k]`.
      known: bool `[users]`, whether the model has a timeline of the user.
    """

    movie_ids: NDArray[Any]
    scores: NDArray[Any]
    known: NDArray[Any]


class AnsweringModel:
    """A SavedModel.

    Args:
      model: Which one.

    Raises:
      UserError: TensorFlow cannot load it.
    """

    def __init__(self, model: Model) -> None:
        """Loads it, which takes seconds."""
        self.model = model
        try:
            self._loaded = import_tensorflow().saved_model.load(model.path)
        except Exception as error:
            cause = (str(error).strip().splitlines() or [repr(error)])[0]
            message = f"TensorFlow cannot load the model {model.path}: {cause}"
            raise UserError(message, _NEW_MODEL) from error

    def has(self, signature: Signature) -> bool:
        """Whether the model has a signature, or a function of that name."""
        name = signature.name
        return name in self._loaded.signatures or hasattr(self._loaded, name)

    def stored_users(self) -> list[str]:
        """Returns the ids of all users with a stored timeline.

        Raises:
          UserError: The model does not list them.
        """
        if not self.has(STORED_USERS):
            raise UserError(
                f"The model {self.model.name} does not list its users: an earlier "
                "release exported it",
                "Give --users FILE, or push a new model with `two-tower run`.",
            )
        ids = STORED_USERS.call(self._loaded)[f.USER_ID]
        return [user_id.decode() for user_id in ids.tolist()]

    def known_users(self, ids: Sequence[str]) -> list[bool]:
        """Returns which users have a stored timeline."""
        return self._known(KNOWN_USER, f.USER_ID, ids)

    def known_movies(self, ids: Sequence[str]) -> list[bool]:
        """Returns which movies are in the corpus."""
        return self._known(KNOWN_MOVIE, f.MOVIE_ID, ids)

    def _known(self, signature: Signature, name: str, ids: Sequence[str]) -> list[bool]:
        known: list[bool] = []
        size = self.model.info.max_batch
        for start in range(0, len(ids), size):
            inputs = {name: list(ids[start : start + size])}
            known += signature.call(self._loaded, **inputs)["known"].tolist()
        return known

    def catalogue(self) -> dict[str, NDArray[Any]] | None:
        """Returns the columns of `CATALOGUE`; None for a model without it."""
        return CATALOGUE.call(self._loaded) if self.has(CATALOGUE) else None

    def answers(self, users: Sequence[str], job: Job) -> Answers:
        """Recommends to users, and says which of them are known: see `recommend`."""
        found = self.recommend(users, job)
        known = KNOWN_USER.call(self._loaded, user_id=list(users))["known"]
        return Answers(found["movie_ids"], found["scores"], known)

    def recommend(self, users: Sequence[str], job: Job) -> dict[str, NDArray[Any]]:
        """Recommends to users, at most `serving.max_batch` of them.

        Returns:
          The outputs of the signature.

        Raises:
          UserError: The model has no filters.
        """
        asked = {f.USER_ID: list(users), "k": np.full(len(users), job.k, np.int32)}
        signature = SERVING_DEFAULT
        if not job.filters.is_empty:
            signature = RECOMMEND
            if not self.has(RECOMMEND):
                raise UserError(
                    f"The model {self.model.name} has no filters: an earlier release "
                    "exported it",
                    "Push a new model with `two-tower run`, or give no filter.",
                )
            asked |= _filter_inputs(len(users), job.filters)
        return signature.call(self._loaded, **asked)


@functools.lru_cache(maxsize=8)  # there are two sizes: the last batch is smaller
def _filter_inputs(rows: int, filters: Filters) -> dict[str, Any]:
    """Returns the inputs of `RECOMMEND` that all users share, and no events."""
    tf = import_tensorflow()

    def texts(values: Sequence[str]) -> Any:
        return tf.tile(tf.constant([list(values)], tf.string), [rows, 1])

    return {
        f.MOVIE_IDS: tf.zeros([rows, 0], tf.string),
        f.RATINGS: tf.zeros([rows, 0], tf.float32),
        f.TIMESTAMPS: tf.zeros([rows, 0], tf.int64),
        "exclude_movie_ids": texts(filters.exclude_movie_ids),
        "genres": texts(filters.genres),
        "first_year": tf.fill([rows], filters.first_year),
        "last_year": tf.fill([rows], filters.last_year),
        "include_seen": tf.fill([rows], filters.include_seen),
        # A live model of an earlier release has no such input.
        **(
            {"diversity": tf.fill([rows], share)}
            if (share := filters.diversity)
            else {}
        ),
    }
