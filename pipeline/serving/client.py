"""Asks a pushed model: the files of one, with TensorFlow alone, or a model server."""

from __future__ import annotations

import abc
import contextlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from components import storage
from pipeline.serving.tensorflow_alone import import_tensorflow, reason
from trainer.errors import UsageError, UserError
from trainer.movielens import RatingScale
from trainer.serving_contract import (
    KNOWN_MOVIE,
    KNOWN_USER,
    MODEL_INFO_FILE,
    RECOMMEND,
    RECOMMEND_FROM_HISTORY,
    SERVING_DEFAULT,
    Signature,
)
from trainer.text import escaped

_MAX_BATCH: Final = 1024  # where the model's own limit is not known
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

    path: str
    dataset: str
    max_batch: int
    max_history: int
    max_k: int
    num_users: int
    rating_scale: RatingScale

    @classmethod
    def read(cls, path: Path | str) -> ModelInfo:
        """Reads the description of the SavedModel in a folder, also of an object store.

        Raises:
          UserError: The description is absent or damaged.
        """
        try:
            path = str(path)
            content = json.loads(
                storage.read(os.path.join(path, MODEL_INFO_FILE)) or b""
            )
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


@dataclass(frozen=True)
class Wishes:
    """What may be recommended, and in which order.

    Attributes:
      genres: A movie has at least one of them; empty for any.
      first_year: Earliest year of a movie; 0 for any.
      last_year: Latest year; 0 for any.
      exclude: Movies that are not recommended.
      include_seen: Whether what the user has rated may be recommended, too.
      diversity: How much it counts that movies are unlike each other, from 0 to less
        than 1.
    """

    genres: tuple[str, ...] = ()
    first_year: int = 0
    last_year: int = 0
    exclude: tuple[str, ...] = ()
    include_seen: bool = False
    diversity: float = 0.0

    def inputs(self) -> dict[str, Any]:
        """Returns the inputs of a signature for one row, those that wish something."""
        found: dict[str, Any] = {
            "genres": [list(self.genres)] if self.genres else None,
            "first_year": [self.first_year] if self.first_year else None,
            "last_year": [self.last_year] if self.last_year else None,
            "exclude_movie_ids": [list(self.exclude)] if self.exclude else None,
            "include_seen": [True] if self.include_seen else None,
            "diversity": [self.diversity] if self.diversity else None,
        }
        return {name: value for name, value in found.items() if value is not None}


NO_WISHES: Final = Wishes()


class Model(abc.ABC):
    """A model to ask, wherever it is.

    Args:
      info: Description of the model; None where it is not known.
    """

    def __init__(self, info: ModelInfo | None) -> None:
        self._info = info

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """Says which model it is, and where."""

    @abc.abstractmethod
    def call(self, signature: Signature, **inputs: Any) -> dict[str, list[Any]]:
        """Calls a signature with one row.

        Args:
          signature: The signature.
          **inputs: Lists by name of the input.

        Returns:
          Lists by name of the output.

        Raises:
          UserError: A server refuses the request, or does not answer.
          Exception: The model does not answer as documented.
        """

    def for_user(
        self, user_id: str, k: int, wishes: Wishes = NO_WISHES
    ) -> list[Recommendation]:
        """Recommends to a user whom the model knows.

        Raises:
          UsageError: The model does not know the user, or `k` is out of range.
          UserError: The model does not answer as documented.
        """
        self._check_k(k)
        with _explained(f"The model {self.name} does not answer"):
            return self._for_user(user_id, k, wishes)

    def _for_user(self, user_id: str, k: int, wishes: Wishes) -> list[Recommendation]:
        if not self.call(KNOWN_USER, user_id=[user_id])["known"][0]:
            whom = ""
            if self._info:
                whom = f" ({self._info.num_users:,} users of {self._info.dataset})"
            raise UsageError(
                f"The model knows no user {user_id!r}{whom}",
                "Give another id, or what the person watched: --history 50,172,181.",
            )
        if wishes == NO_WISHES:
            return _ranked(self.call(SERVING_DEFAULT, user_id=[user_id], k=[k]))
        inputs = wishes.inputs()
        return _ranked(self.call(RECOMMEND, user_id=[user_id], k=[k], **inputs))

    def for_history(
        self, movie_ids: Sequence[str], k: int, wishes: Wishes = NO_WISHES
    ) -> list[Recommendation]:
        """Recommends to somebody whom the model has never seen.

        Args:
          movie_ids: What was watched, oldest first.
          k: Number of movies.
          wishes: What may be recommended; what was watched may not.

        Raises:
          UsageError: A movie is not in the corpus, there are too many, or `k` is out of
            range.
          UserError: The model does not answer as documented.
        """
        self._check_k(k)
        info = self._info
        if info and len(movie_ids) > info.max_history:
            raise UsageError(
                f"--history names {len(movie_ids):,} movies, but the model takes at "
                f"most {info.max_history:,}",
                "Give the newest; serving.max_history sets it for new models.",
            )
        with _explained(f"The model {self.name} does not answer"):
            return self._for_history(movie_ids, k, wishes)

    def _for_history(
        self, movie_ids: Sequence[str], k: int, wishes: Wishes
    ) -> list[Recommendation]:
        info = self._info
        if unknown := self._unknown(movie_ids):
            shown = ", ".join(map(escaped, unknown[:_SHOWN]))
            more = f" and {len(unknown) - _SHOWN:,} more"
            raise UsageError(
                f"--history names unknown movies: {shown}"
                f"{more if len(unknown) > _SHOWN else ''}",
                f"Give movie ids of {info.dataset if info else 'the data'}, separated "
                "by commas.",
            )
        now = int(time.time())
        scale = info.rating_scale if info else RatingScale.of(None)
        found = self.call(
            RECOMMEND_FROM_HISTORY,
            user_id=[""],
            movie_ids=[list(movie_ids)],
            # As if all of them were liked.
            ratings=[[scale.liked] * len(movie_ids)],
            # One second apart, in order.
            timestamps=[list(range(now - len(movie_ids), now))],
            k=[k],
            **wishes.inputs(),
        )
        return _ranked(found)

    def _unknown(self, movie_ids: Sequence[str]) -> list[str]:
        """The movies that are not in the corpus, each once."""
        asked = list(dict.fromkeys(movie_ids))
        size = self._info.max_batch if self._info else _MAX_BATCH
        known: list[bool] = []
        for start in range(0, len(asked), size):
            block = asked[start : start + size]
            known += self.call(KNOWN_MOVIE, movie_id=block)["known"]
        return [m for m, is_known in zip(asked, known, strict=True) if not is_known]

    def _check_k(self, k: int) -> None:
        if self._info:
            self._info.check_k(k)


class PushedModel(Model):
    """A SavedModel, loaded into this process.

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
        super().__init__(info)
        tf = import_tensorflow()
        self._path = info.path
        with _explained(f"TensorFlow cannot load the model {info.path}"):
            self._model = tf.saved_model.load(info.path)

    @property
    def name(self) -> str:
        """The folder."""
        return self._path

    def call(self, signature: Signature, **inputs: Any) -> dict[str, list[Any]]:
        """Calls a signature; see the base class."""
        values = {name: _with_bytes(value) for name, value in inputs.items()}
        try:
            outputs = signature.call(self._model, **values)
        except import_tensorflow().errors.InvalidArgumentError as error:
            message = f"The model {self._path} refuses: {reason(error)}"
            raise UserError(message, "Ask for something else.") from error
        return {name: _with_texts(array.tolist()) for name, array in outputs.items()}


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
        raise UserError(
            f"{what}: {reason(error)}",
            "Push a new model with `two-tower run --no-cache`.",
        ) from error


def _with_bytes(value: Any) -> Any:
    """Encodes the texts of nested lists, also ids that were typed and are no UTF-8."""
    if isinstance(value, list):
        return [_with_bytes(item) for item in value]
    return value.encode(errors="surrogateescape") if isinstance(value, str) else value


def _with_texts(value: Any) -> Any:
    """Decodes the texts of nested lists."""
    if isinstance(value, list):
        return [_with_texts(item) for item in value]
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _ranked(outputs: dict[str, list[Any]]) -> list[Recommendation]:
    """Returns the only row of a batch without its padding."""
    rows = (outputs[name][0] for name in ("movie_ids", "titles", "genres", "scores"))
    return [
        Recommendation(rank, movie_id, title, genres, float(score))
        for rank, (movie_id, title, genres, score) in enumerate(
            zip(*rows, strict=True), start=1
        )
        if movie_id
    ]
