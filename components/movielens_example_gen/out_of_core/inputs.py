"""What every task needs: configuration, movies, users, and where files are."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from components.movielens_example_gen.config import ExampleGenConfig
from components.movielens_example_gen.out_of_core import facts
from components.movielens_example_gen.out_of_core.facts import Facts
from components.movielens_example_gen.tables import Ids, Movie, User, as_ids

_FACTS: Final = ".facts"
_LISTED: Final = "listed"


@dataclass(frozen=True)
class Inputs:
    """What every task needs, small enough to travel with it.

    Attributes:
      config: The configuration.
      first_span: Index of the oldest span that is trained on.
      latest: Newest possible timestamp, seconds since the epoch, UTC.
      bucket_bits: Number of leading bits of a hash that name a user's bucket.
      folder: All workers see it.
    """

    config: ExampleGenConfig
    first_span: int
    latest: int
    bucket_bits: int
    folder: str

    def path(self, name: str) -> str:
        """Returns the path of a file in the folder."""
        return os.path.join(self.folder, name)

    def facts(self, kind: str, number: int) -> str:
        """Returns the path of what a task found."""
        return self.path(f"{kind}-{number:05d}{_FACTS}")

    @staticmethod
    def is_facts(kind: str, name: str) -> bool:
        """Returns whether a name in the folder is that of what a task found."""
        return name.startswith(f"{kind}-") and name.endswith(_FACTS)

    def write_listed(
        self, movies: Mapping[bytes, Movie], users: Mapping[bytes, User]
    ) -> None:
        """Writes the movies and users that the files list, for all workers."""
        values = {
            "movies": [movie.decode() for movie in sorted(movies)],
            "users": {
                user.decode(): dataclasses.asdict(attributes)
                for user, attributes in users.items()
            },
        }
        Facts(values, {}).write(self.path(_LISTED + _FACTS))

    def read_listed(self) -> Listed:
        """Reads what `write_listed` wrote."""
        values = facts.read(self.path(_LISTED + _FACTS)).values
        return Listed(
            as_ids([movie.encode() for movie in values["movies"]]),
            {user.encode(): User(**a) for user, a in values["users"].items()},
        )


@dataclass(frozen=True)
class Listed:
    """The movies and users that the files list.

    Attributes:
      movie_ids: `[num_movies]` bytes, sorted: a movie's index is its row in the corpus.
      users: User id to attributes, empty if the edition has none.
    """

    movie_ids: Ids
    users: dict[bytes, User]
