"""What the page may ask: the bodies of its requests."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

_MOST_CHARACTERS = 1000
_MOST_EVENTS = 500  # that somebody adds by hand
_LONGEST_LIST = 50

Text = Annotated[str, Field(max_length=_MOST_CHARACTERS)]


class Question(BaseModel):
    """A body: JSON with these keys and no other."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Search(Question):
    """Movies or users by what somebody types.

    Attributes:
      query: Parts of a title, or of an id.
      limit: Most answers.
    """

    query: Text = ""
    limit: int = Field(default=12, ge=1, le=_LONGEST_LIST)


class Lookup(Question):
    """Movies by id.

    Attributes:
      movie_ids: As in the edition.
    """

    movie_ids: list[Text] = Field(max_length=_MOST_EVENTS)


class Timeline(Question):
    """What a user has watched.

    Attributes:
      user_id: As in the edition.
    """

    user_id: Text


class Similar(Question):
    """Movies like one.

    Attributes:
      movie_id: As in the edition.
      k: Number of movies.
    """

    movie_id: Text
    k: int = Field(default=10, ge=1, le=_LONGEST_LIST)


class Event(Question):
    """A movie that somebody has watched.

    Attributes:
      movie_id: As in the edition.
      rating: On the scale of the version.
    """

    movie_id: Text
    rating: float = Field(allow_inf_nan=False)


class Recommend(Question):
    """Recommendations to a user, to somebody with a history, or to both in one.

    Attributes:
      user_id: A stored user; "" for nobody in particular.
      events: Newer than the stored timeline, oldest first.
      genres: Movies with one of these; none for all.
      first_year: Not older movies; 0 for all.
      last_year: Not newer movies; 0 for all.
      include_seen: Whether watched movies may return.
      diversity: How much it counts that movies are unlike each other; older models
        ignore it.
      k: Number of movies.
    """

    user_id: Text = ""
    events: list[Event] = Field(default=[], max_length=_MOST_EVENTS)
    genres: list[Text] = Field(default=[], max_length=_LONGEST_LIST)
    first_year: int = Field(default=0, ge=0, le=9999)
    last_year: int = Field(default=0, ge=0, le=9999)
    include_seen: bool = False
    diversity: float = Field(default=0.0, ge=0, lt=1)
    k: int = Field(default=10, ge=1)
