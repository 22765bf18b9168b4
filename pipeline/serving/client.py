"""Client of a pushed model that needs TensorFlow alone: no TFX and no Keras."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.serving.tensorflow_alone import import_tensorflow
from trainer.errors import UsageError, UserError
from trainer.movielens import RatingScale
from trainer.serving_contract import (
    KNOWN_MOVIE,
    KNOWN_USER,
    MODEL_INFO_FILE,
    RECOMMEND_FROM_HISTORY,
    SERVING_DEFAULT,
)
from trainer.text import escaped

_SHOWN: Final = 10  # ids in a message


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
    """Description of a model, read without TensorFlow.

    Attributes:
      path: Folder of the SavedModel.
      dataset: Edition that it was trained on.
      max_batch: Rows that a request may have.
      max_history: Events that a history may have.
      max_k: Movies that a request may ask for.
      num_users: Users with a stored timeline.
      rating_scale: The scale of the ratings of a history.
    """

    path: Path
    dataset: str
    max_batch: int
    max_history: int
    max_k: int
    num_users: int
    rating_scale: RatingScale

    @classmethod
    def read(cls, path: Path) -> ModelInfo:
        """Reads the description of the SavedModel in a folder.

        Raises:
          UserError: The description is absent or damaged.
        """
        try:
            content = json.loads((path / MODEL_INFO_FILE).read_text(encoding="utf-8"))
            if "corpus_size" in content and "limits" not in content:
                raise UserError(
                    f"The model {path} was exported by an earlier release, whose "
                    "signatures have other inputs",
                    "Push a new model with `two-tower run`.",
                )
            limits = content["limits"]
            return cls(
                path,
                str(content["dataset"]),
                max_batch=int(limits["max_batch"]),
                max_history=int(limits["max_history"]),
                max_k=int(limits["max_k"]),
                num_users=int(content["num_users"]),
                # Older models have stars.
                rating_scale=RatingScale.of(content.get("rating_scale")),
            )
        except (
            *(OSError, ValueError, KeyError, TypeError, OverflowError),
            RecursionError,  # lists in lists in lists
        ) as error:
            raise UserError(
                f"The model {path} has no readable {MODEL_INFO_FILE}",
                "Push a new model with `two-tower run --no-cache`.",
            ) from error

    def check_k(self, k: int) -> None:
        """Checks the number of movies to recommend.

        Raises:
          UsageError: `k` is below 1 or above what the model allows.
        """
        if not 1 <= k <= self.max_k:
            raise UsageError(
                f"-k is {k}, but the model recommends from 1 to {self.max_k:,} movies",
                "Give a number in that range; serving.max_k sets it for new models.",
            )


class PushedModel:
    """A loaded SavedModel.

    Example:
      >>> model = PushedModel(ModelInfo.read(Path("workspace/serving/1795623576")))
      >>> model.for_user("42", k=3)[0].title
      'Mars Attacks! (1996)'

    Args:
      info: Description of the model to load.

    Raises:
      UserError: TensorFlow cannot load the model.
    """

    def __init__(self, info: ModelInfo) -> None:
        """Imports TensorFlow and loads the model, which takes some seconds."""
        tf = import_tensorflow()
        self._info = info
        with _explained(f"TensorFlow cannot load the model {info.path}"):
            self._model = tf.saved_model.load(str(info.path))

    def for_user(self, user_id: str, k: int) -> list[Recommendation]:
        """Recommends to a user whom the model knows.

        Raises:
          UsageError: The model does not know the user, or `k` is out of range.
          UserError: The model does not answer as documented.
        """
        self._info.check_k(k)
        with self._explained():
            user = [_bytes(user_id)]
            is_known = KNOWN_USER.call(self._model, user_id=user)["known"][0]
            if is_known:
                return _ranked(SERVING_DEFAULT.call(self._model, user_id=user, k=[k]))
            raise UsageError(
                f"The model knows no user {user_id!r} ({self._info.num_users:,} users "
                f"of {self._info.dataset})",
                "Give another id, or what the person watched: --history 50,172,181.",
            )

    def for_history(self, movie_ids: Sequence[str], k: int) -> list[Recommendation]:
        """Recommends to somebody whom the model has never seen.

        Args:
          movie_ids: What was watched, oldest first.
          k: Number of movies.

        Raises:
          UsageError: A movie is not in the corpus, there are too many, or `k` is out of
            range.
          UserError: The model does not answer as documented.
        """
        self._info.check_k(k)
        if len(movie_ids) > self._info.max_history:
            raise UsageError(
                f"--history names {len(movie_ids):,} movies, but the model takes at "
                f"most {self._info.max_history:,}",
                "Give the newest; serving.max_history sets it for new models.",
            )
        now = int(time.time())
        with self._explained():
            if unknown := self._unknown(movie_ids):
                shown = ", ".join(map(escaped, unknown[:_SHOWN]))
                more = f" and {len(unknown) - _SHOWN:,} more"
                raise UsageError(
                    f"--history names unknown movies: {shown}"
                    f"{more if len(unknown) > _SHOWN else ''}",
                    f"Give movie ids of {self._info.dataset}, separated by commas.",
                )
            return _ranked(
                RECOMMEND_FROM_HISTORY.call(
                    self._model,
                    user_id=[""],
                    movie_ids=[list(map(_bytes, movie_ids))],
                    # As if all of them were liked.
                    ratings=[[self._info.rating_scale.liked] * len(movie_ids)],
                    # One second apart, in order.
                    timestamps=[list(range(now - len(movie_ids), now))],
                    k=[k],
                )
            )

    def _unknown(self, movie_ids: Sequence[str]) -> list[str]:
        """The movies that are not in the corpus, each once."""
        asked = list(dict.fromkeys(movie_ids))
        known: list[bool] = []
        for start in range(0, len(asked), self._info.max_batch):
            block = asked[start : start + self._info.max_batch]
            ids = list(map(_bytes, block))
            known += list(KNOWN_MOVIE.call(self._model, movie_id=ids)["known"])
        return [m for m, is_known in zip(asked, known, strict=True) if not is_known]

    def _explained(self) -> contextlib.AbstractContextManager[None]:
        return _explained(f"The model {self._info.path} does not answer")


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    """Makes whatever a damaged model leads to an error of one line.

    Args:
      what: Begins the line.
    """
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        cause = (str(error).strip().splitlines() or ["no error message"])[0]
        raise UserError(
            f"{what}: {cause}", "Push a new model with `two-tower run --no-cache`."
        ) from error


def _bytes(text: str) -> bytes:
    """The bytes of an id, also of one that was typed and is no UTF-8."""
    return text.encode(errors="surrogateescape")


def _ranked(outputs: dict[str, Any]) -> list[Recommendation]:
    """Returns the only row of a batch without its padding."""
    texts = [
        [text.decode(errors="replace") for text in outputs[name][0]]
        for name in ("movie_ids", "titles", "genres")
    ]
    return [
        Recommendation(rank, movie_id, title, genres, float(score))
        for rank, (movie_id, title, genres, score) in enumerate(
            zip(*texts, outputs["scores"][0], strict=True), start=1
        )
        if movie_id
    ]
