"""`recommend` and its relatives, against the same rules written down with NumPy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import starmap
from typing import Any, Final, NamedTuple

import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from numpy.typing import NDArray

from tests.fixtures.exported_model import (
    ATTRIBUTES,
    LIMITS,
    MOVIE_GENRES,
    MOVIE_IDS,
    USERS,
    YEARS,
)
from tests.fixtures.exported_model import events as small_events
from trainer import features as f
from trainer import serving_contract as contract
from trainer.serving_contract import NO_SCORE, Signature

pytestmark = [pytest.mark.slow, pytest.mark.fuzz]

_NOBODY: Final = b"nobody\0"
# Of the held-out events, as `eval_row` has them.
_LAST: Final = 880001000
_LAST_RATING: Final = 4.0


class Event(NamedTuple):
    """One event of a timeline."""

    movie: bytes
    rating: float
    at: int


@dataclass
class Served:
    """The exported model, and what an oracle needs of it."""

    model: Any
    movies: NDArray[np.float32]  # `[num_movies, dim]`

    def call(self, signature: Signature, **inputs: Any) -> dict[str, Any]:
        return signature.call(self.model, **inputs)

    def ask(self, signature: Signature, **row: Any) -> list[tuple[bytes, float]]:
        """The movies and scores of one row."""
        answer = self.call(signature, **{name: [value] for name, value in row.items()})
        pairs = zip(answer["movie_ids"][0], answer["scores"][0], strict=True)
        return [(movie, float(score)) for movie, score in pairs if movie]

    def scores(self, user: bytes) -> NDArray[np.float32]:
        query = self.call(contract.QUERY_EMBEDDING, user_id=[user])["embedding"]
        return self.movies @ query[0]


@pytest.fixture(scope="module")
def served(small_model: Any) -> Served:
    found = contract.CANDIDATE_EMBEDDING.call(small_model, movie_id=list(MOVIE_IDS))
    return Served(small_model, found["embedding"])


def columns(events: Sequence[Event]) -> dict[str, list[Any]]:
    movies, ratings, times = zip(*events, strict=True) if events else ((), (), ())
    names = (f.MOVIE_IDS, f.RATINGS, f.TIMESTAMPS)
    return dict(zip(names, map(list, (movies, ratings, times)), strict=True))


def stored(user: bytes) -> list[Event]:
    if user not in USERS:
        return []
    *before, last = USERS[user]
    known = [*zip(*small_events(before).values(), strict=True)]
    return [*starmap(Event, known), Event(MOVIE_IDS[last], _LAST_RATING, _LAST)]


def merged(events: Sequence[Event]) -> list[Event]:
    """By time, of each movie the latest event, and of those the first."""
    in_order = sorted((e for e in events if e.movie), key=lambda event: event.at)
    latest: dict[bytes, Event] = {}
    for event in in_order:
        if event.movie not in latest or event.at > latest[event.movie].at:
            latest[event.movie] = event
    return [event for event in in_order if latest[event.movie] is event]


def allowed(genres: Sequence[str], first: int, last: int) -> set[bytes]:
    names = {name for name in genres if name}
    names |= {"Children's"} if "Children" in names else set()
    return {
        movie
        for movie, year, of_movie in zip(MOVIE_IDS, YEARS, MOVIE_GENRES, strict=True)
        if (not names or names & set(of_movie))
        and (not first or year >= first)
        and (not last or 0 < year <= last)
    }


_USERS: Final = st.sampled_from([*USERS, _NOBODY, b""])
_MOVIES: Final = st.sampled_from([*MOVIE_IDS, b"", b"unknown", b"unknown\0too"])
_EVENTS: Final = st.lists(
    st.builds(
        Event,
        _MOVIES,
        st.sampled_from([0.5, 4.0, 5.0]),
        st.sampled_from([880000060, _LAST, 10**9, 0, -(2**63), 2**63 - 1]),
    ),
    max_size=8,
)
_FILTERS: Final = st.fixed_dictionaries(
    {
        "exclude_movie_ids": st.lists(_MOVIES, max_size=6),
        "genres": st.lists(
            st.sampled_from(["Drama", "War", "Children", "Western", ""]), max_size=2
        ),
        "first_year": st.sampled_from([0, 0, 1, 1895, 1980, 9999]),
        "last_year": st.sampled_from([0, 0, 9999]),
    }
)


@given(user=_USERS, filters=_FILTERS, again=st.booleans(), k=st.integers(1, 20))
def test_filters_leave_the_best_of_what_is_allowed(
    served: Served, user: bytes, filters: dict[str, Any], again: bool, k: int
) -> None:
    found = served.ask(
        contract.RECOMMEND, user_id=user, include_seen=again, k=k, **filters
    )
    left = allowed(filters["genres"], filters["first_year"], filters["last_year"])
    left -= set(filters["exclude_movie_ids"])
    left -= set() if again else {event.movie for event in stored(user)}
    scores = dict(zip(MOVIE_IDS, served.scores(user).tolist(), strict=True))
    best = sorted((scores[movie] for movie in left), reverse=True)[:k]
    assert [score for _, score in found] == pytest.approx(best, rel=1e-4, abs=1e-5)
    assert len({movie for movie, _ in found}) == len(found)
    for movie, score in found:
        assert movie in left
        assert score == pytest.approx(scores[movie], rel=1e-4, abs=1e-5)


@settings(max_examples=30)
@given(
    requests=st.lists(
        st.tuples(
            *(_USERS, _FILTERS, st.booleans(), st.integers(1, 20)),
            st.sampled_from([0.0, 0.2, 0.5, 0.9]),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_each_row_is_reranked_by_its_own_diversity(
    served: Served, requests: list[tuple[Any, ...]]
) -> None:
    examples = [
        example(
            **{n: v for n, v in filters.items() if v not in ([], 0)},
            **{"user_id": user, "include_seen": again, "k": k, "diversity": diversity},
        )
        for user, filters, again, k, diversity in requests
    ]
    answer = served.call(contract.RECOMMEND_EXAMPLES, examples=examples)
    for row, (user, filters, again, k, diversity) in enumerate(requests):
        left = allowed(filters["genres"], filters["first_year"], filters["last_year"])
        left -= set(filters["exclude_movie_ids"])
        left -= set() if again else {event.movie for event in stored(user)}
        of_left = [index for index, m in enumerate(MOVIE_IDS) if m in left]
        found = [MOVIE_IDS.index(m) for m in answer["movie_ids"][row] if m]
        assert len(found) == min(k, len(left))
        scores = served.scores(user)
        assert answer["scores"][row, : len(found)] == pytest.approx(
            scores[found], rel=1e-4, abs=1e-5
        )
        assert_greedy(found, of_left, scores, served.movies[:, :-1], diversity)


def assert_greedy(
    found: list[int],
    left: list[int],
    scores: NDArray[np.float32],
    vectors: NDArray[np.float32],
    diversity: float,
) -> None:
    """Each movie of a list has the largest marginal relevance of those that are left.

    Args:
      found: Corpus rows, in order.
      left: Corpus rows of the pool.
      scores: Of all movies.
      vectors: Embeddings of all movies, without biases.
      diversity: Share of the similarity.
    """
    left = list(left)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    low = scores[left].min(initial=np.inf)
    spread = scores[left].max(initial=-np.inf) - low or 1.0
    for place, movie in enumerate(found):
        relevance = (scores[left] - low) / spread
        similarity = 0.0
        if place:
            similarity = (unit[left] @ unit[found[:place]].T).max(axis=1)
        value = (1 - diversity) * relevance - diversity * similarity
        assert value[left.index(movie)] == pytest.approx(value.max(), abs=1e-4)
        left.remove(movie)


def test_without_diversity_nothing_changes(served: Served) -> None:
    """To the last bit, also where another row of the batch asks for it."""
    users = [*USERS, _NOBODY]
    plain = served.call(contract.SERVING_DEFAULT, user_id=users, k=[9] * len(users))
    for first in (0.0, 0.5):
        diversity = [first, *[0.0] * (len(users) - 1)]
        answer = served.call(
            contract.RECOMMEND, user_id=users, k=[9] * len(users), diversity=diversity
        )
        for name, values in plain.items():
            assert (answer[name][1:] == values[1:]).all()
            assert (answer[name][0] == values[0]).all() == (first == 0)


@given(user=_USERS, events=_EVENTS, filters=_FILTERS, again=st.booleans())
def test_new_events_continue_the_stored_timeline(
    served: Served,
    user: bytes,
    events: list[Event],
    filters: dict[str, Any],
    again: bool,
) -> None:
    found = served.ask(
        contract.RECOMMEND,
        **{"user_id": user, "include_seen": again, "k": 20},
        **columns(events),
        **filters,
    )
    history = merged([*stored(user), *events])
    whole = served.ask(
        contract.RECOMMEND_FROM_HISTORY,
        **{"user_id": user, "k": 20},
        **columns(history),
        **filters,
    )
    if again:
        seen = {event.movie for event in history}
        assert not {m for m, _ in found} & ({*filters["exclude_movie_ids"]} - {b""})
        assert len(found) >= len(whole)
        found = [(movie, score) for movie, score in found if movie not in seen]
        whole = whole[: len(found)]
    assert [score for _, score in found] == pytest.approx(
        [score for _, score in whole], rel=1e-4, abs=1e-5
    )
    assert all(math.isfinite(score) for _, score in found)


@settings(max_examples=20)
@given(user=_USERS, rows=st.lists(_EVENTS.filter(bool), min_size=2, max_size=3))
def test_a_server_may_pad_requests_by_their_first_value(
    served: Served, user: bytes, rows: list[list[Event]]
) -> None:
    """As TensorFlow Serving does with `pad_variable_length_inputs`."""
    length = max(map(len, rows))
    padded = [[*row, *[row[0]] * (length - len(row))] for row in rows]
    lists = [columns(row) for row in padded]
    for signature in (contract.RECOMMEND, contract.RECOMMEND_FROM_HISTORY):
        together = served.call(
            signature,
            user_id=[user] * len(rows),
            k=[5] * len(rows),
            **{name: [row[name] for row in lists] for name in lists[0]},
        )
        for number, row in enumerate(rows):
            alone = served.ask(signature, user_id=user, k=5, **columns(row))
            count = len(alone)
            scores = together["scores"][number]
            assert scores[:count] == pytest.approx(
                [s for _, s in alone], rel=1e-4, abs=1e-5
            )
            assert scores[count:] == pytest.approx([NO_SCORE] * (5 - count))


@settings(max_examples=20)
@given(
    requests=st.lists(
        st.tuples(_USERS, _EVENTS, _FILTERS, st.booleans(), st.integers(1, 20)),
        min_size=1,
        max_size=3,
    )
)
def test_examples_are_answered_like_requests(
    served: Served, requests: list[tuple[Any, ...]]
) -> None:
    examples, alone = [], []
    for user, events, filters, again, k in requests:
        row = {"user_id": user, "include_seen": again, "k": k}
        row |= columns(events) | filters
        alone.append(served.ask(contract.RECOMMEND, **row))
        # What is absent means nothing.
        given_ones = {n: v for n, v in row.items() if v not in ([], 0, False)}
        examples.append(example(**given_ones))
    answer = served.call(contract.RECOMMEND_EXAMPLES, examples=examples)
    for number, expected in enumerate(alone):
        scores = answer["scores"][number]
        count = len(expected)
        assert scores[:count] == pytest.approx(
            [s for _, s in expected], rel=1e-4, abs=1e-5
        )
        assert not any(answer["movie_ids"][number][count:])


def example(**features: Any) -> bytes:
    """A serialized `tf.train.Example`."""
    message = tf.train.Example()
    for name, value in features.items():
        values = value if isinstance(value, list) else [value]
        kind = type(values[0])
        feature = message.features.feature[name]
        if kind in (bytes, str):
            texts = (v if isinstance(v, bytes) else v.encode() for v in values)
            feature.bytes_list.value.extend(texts)
        elif kind is float:
            feature.float_list.value.extend(values)
        else:
            feature.int64_list.value.extend(map(int, values))
    return bytes(message.SerializeToString())


@pytest.mark.parametrize("movie", [*MOVIE_IDS[:9], b"unknown", b""])
def test_similar_movies_have_the_largest_cosines(served: Served, movie: bytes) -> None:
    found = served.ask(contract.SIMILAR_MOVIES, movie_id=movie, k=7)
    if movie not in MOVIE_IDS:
        assert found == []
        return
    own = MOVIE_IDS.index(movie)
    others = served.movies[:, :-1] / np.linalg.norm(
        served.movies[:, :-1], axis=1, keepdims=True
    )
    cosines = np.delete(others @ others[own], own)
    assert movie not in [other for other, _ in found]
    assert [score for _, score in found] == pytest.approx(
        np.sort(cosines)[::-1][:7].tolist(), rel=1e-4, abs=1e-5
    )


def test_attributes_of_a_request_win_over_stored_ones(served: Served) -> None:
    user, other = ATTRIBUTES

    def scores(user: bytes, **attributes: Any) -> list[float]:
        history = columns(stored(user)[:2])
        row = {"user_id": user, "k": 9, **history, **attributes}
        return [s for _, s in served.ask(contract.RECOMMEND_FROM_HISTORY, **row)]

    own, others = (
        {name: values[0] for name, values in ATTRIBUTES[each].items()}
        for each in (user, other)
    )
    assert scores(user, **own) == scores(user)
    assert scores(user, **others) != scores(user)
    # A value that no edition has is not given.
    assert scores(user, age=-7, gender="?", occupation="\0") == scores(user)
    # Nor is one that no user has, of which the model has learned nothing.
    assert scores(user, age=7, occupation="lawyer") == scores(user)
    assert scores(_NOBODY, **own) != scores(_NOBODY)
    mixed = scores(user, **{**own, f.AGE: others[f.AGE]})
    assert scores(user, age=others[f.AGE]) == mixed


def test_what_is_stored_can_be_read_by_those_who_have_the_files(
    served: Served,
) -> None:
    movies = served.call(contract.CATALOGUE)
    names = (f.MOVIE_ID, f.YEAR, f.GENRES)
    rows = zip(*(movies[name] for name in names), strict=True)
    assert set(rows) == {
        (movie, year, "|".join(genres).encode())
        for movie, year, genres in zip(MOVIE_IDS, YEARS, MOVIE_GENRES, strict=True)
    }
    users = served.call(contract.STORED_USERS)["user_id"]
    assert users.tolist() == sorted(USERS)
    found = served.call(contract.STORED_TIMELINES, user_id=[b"42", _NOBODY])
    assert found["movie_ids"][0].tolist() == [MOVIE_IDS[i] for i in USERS[b"42"]]
    assert found["movie_ids"][1].tolist() == [b""] * 5
    assert set(served.model.signatures) == {s.name for s in contract.SIGNATURES}


_SOUND: Final = {"user_id": ["42"], "k": [3]}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"genres": [["Drama", "Space\0Opera"]]}, ("genres", "Space", "Film-Noir")),
        ({"first_year": [1995], "last_year": [1990]}, ("first_year", "1995", "1990")),
        ({"first_year": [-5]}, ("first_year", "-5")),
        ({"last_year": [-(2**31)]}, ("last_year", "-2147483648")),
        ({"last_year": [1990, 1991]}, ("last_year and user_id", "[2]", "[1]")),
        ({"exclude_movie_ids": [["a"], ["b"]]}, ("exclude_movie_ids and user_id",)),
        (
            {"exclude_movie_ids": [["a"] * (LIMITS.max_filters + 1)]},
            ("exclude_movie_ids", "serving.max_filters", "[1000]", "[1001]"),
        ),
        ({"genres": [["War"] * 1001]}, ("genres", "serving.max_filters", "[1001]")),
        (
            {"movie_ids": [["1"]], "timestamps": [[1]]},
            ("movie_ids and ratings", "[1 1]", "[1 0]"),
        ),
        *(
            ({"diversity": [value]}, ("diversity must be", f"[{shown}]"))
            for value, shown in ((1.0, "1"), (-0.5, "-0.5"), (math.nan, "nan"))
        ),
        ({"k": [21]}, ("k must be", "[20]", "[21]")),
        ({"user_id": ["1"] * 65, "k": [1] * 65}, ("user_id", "max_batch", "[65]")),
    ],
)
def test_the_error_names_input_value_and_limit(
    served: Served, changes: dict[str, Any], named: tuple[str, ...]
) -> None:
    for signature in (contract.RECOMMEND, contract.RECOMMEND_FROM_HISTORY):
        with pytest.raises(tf.errors.InvalidArgumentError) as error:
            served.call(signature, **_SOUND | changes)
        assert [text for text in named if text not in str(error.value)] == []


@pytest.mark.parametrize(
    ("message", "named"),
    [
        (b"\x0f no proto", ("xample",)),
        (b"", ("user_id",)),
        (example(k=3), ("user_id",)),
        (example(user_id=b"1", k=b"3"), ("k",)),
        (example(user_id=b"1", k=2**40), ("k must be", "2147483647")),
        (example(user_id=b"1", k=-(2**40)), ("k must be", "-2147483648")),
        (example(user_id=b"1", include_seen=2), ("include_seen", "[2]")),
        (
            example(user_id=b"1", movie_ids=b"1", timestamps=1),
            ("movie_ids and ratings",),
        ),
        (
            example(
                user_id=b"1",
                movie_ids=[b"1"] * 201,
                ratings=[4.0] * 201,
                timestamps=[1] * 201,
            ),
            ("movie_ids", "[200]", "[201]"),
        ),
        (example(user_id=b"1", exclude_movie_ids=[b"1"] * 1001), ("[1001]",)),
        (example(user_id=b"1", first_year=5, last_year=4), ("first_year",)),
        (example(user_id=[b"1", b"2"]), ("user_id",)),
    ],
    # Not the messages: protobuf writes maps in an order that differs by process.
    ids=range(12),
)
def test_an_example_that_cannot_be_read_is_refused(
    served: Served, message: bytes, named: tuple[str, ...]
) -> None:
    sound = example(user_id=b"42")
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        served.call(contract.RECOMMEND_EXAMPLES, examples=[sound, message])
    assert [text for text in named if text not in str(error.value)] == []
    assert len(served.ask(contract.RECOMMEND_EXAMPLES, examples=sound)) == 10
