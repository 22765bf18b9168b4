"""What a batch computes: plain values, so that Beam can send them to its workers."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from pipeline.serving.client import ModelInfo
from trainer.errors import UsageError
from trainer.movielens import GENRES

SHARD_SIZE: Final = 5000  # users: some seconds of work, some hundred kilobytes
BATCH_SIZE: Final = 256  # rows of a request: larger ones are no faster


@dataclass(frozen=True)
class Filters:
    """What may be recommended.

    Attributes:
      genres: A movie must have one of them; empty for any.
      first_year: Of the movies; 0 for no bound.
      last_year: Of the movies, itself included; 0 for no bound.
      exclude_movie_ids: Movies that nobody gets.
      include_seen: Whether users may get what they have watched.
      diversity: See `pipeline.serving.client.Wishes`.
    """

    genres: tuple[str, ...] = ()
    first_year: int = 0
    last_year: int = 0
    exclude_movie_ids: tuple[str, ...] = ()
    include_seen: bool = False
    diversity: float = 0.0

    def check(self) -> None:
        """Checks the values.

        Raises:
          UsageError: A genre is unknown, or the years exclude every movie.
        """
        for genre in self.genres:
            if genre not in GENRES:
                near = difflib.get_close_matches(genre.title(), GENRES, 1)
                raise UsageError(
                    f"--genre {genre!r} is no genre"
                    + (f". Did you mean {near[0]}?" if near else ""),
                    f"Known: {', '.join(GENRES)}.",
                )
        if 0 < self.last_year < self.first_year:
            raise UsageError(
                f"--from-year {self.first_year} is after --to-year {self.last_year}",
                "No movie can be recommended: give years in order.",
            )

    @property
    def is_empty(self) -> bool:
        """Whether nothing is filtered beyond what users have watched."""
        return self == Filters()


@dataclass(frozen=True)
class Model:
    """A model that is asked.

    Attributes:
      path: Folder of the SavedModel, which every worker can read.
      model_id: Digest of its content.
      version: Its number in the serving directory; None if it is elsewhere.
      info: Its description.
    """

    path: str
    model_id: str
    version: int | None
    info: ModelInfo

    @property
    def name(self) -> str:
        """The version, or the folder of a model that has none."""
        return self.path if self.version is None else str(self.version)


@dataclass(frozen=True)
class Job:
    """All that decides on the content of the folder.

    Attributes:
      models: The model; for a comparison, the live model and the candidate.
      k: Movies for each user.
      filters: Which movies.
      num_users: Number of users.
      users_digest: Digest of their ids in order.
      shard_size: Users of a shard.
    """

    models: tuple[Model, ...]
    k: int
    filters: Filters
    num_users: int
    users_digest: str
    shard_size: int = SHARD_SIZE

    @property
    def num_shards(self) -> int:
        """Number of files."""
        return math.ceil(self.num_users / self.shard_size)

    def rows_of(self, shard: int) -> int:
        """Number of users in a shard."""
        return min(self.shard_size, self.num_users - shard * self.shard_size)

    def arguments(self) -> dict[str, Any]:
        """Returns what is the same in a command that continues, as JSON-like values."""
        filters = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self.filters).items()
        }
        names = ("model", "candidate")
        models = {
            role: {"version": model.version, "model_id": model.model_id}
            for role, model in zip(names, self.models, strict=False)
        }
        users = {"count": self.num_users, "digest": self.users_digest}
        return {
            **models,
            "k": self.k,
            **filters,
            "users": users,
            "shard_size": self.shard_size,
        }

    @property
    def digest(self) -> str:
        """Identity of the job, which each of its shards holds."""
        text = json.dumps(self.arguments(), sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def digest_of(user_ids: Sequence[str]) -> str:
    """Returns a digest of ids in order."""
    digest = hashlib.blake2b(digest_size=16)
    for user_id in user_ids:
        digest.update(user_id.encode() + b"\n")
    return digest.hexdigest()
