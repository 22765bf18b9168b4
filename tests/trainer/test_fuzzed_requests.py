"""Requests that nobody listed, to the exported model in a process with TensorFlow only.

Each is either answered or refused by an error, as the request deserves: no crash, no
NaN, no movie that was seen, and no memory beyond that of the largest request.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from tests.fixtures.exported_model import (
    LIMITS,
    MOVIE_GENRES,
    MOVIE_IDS,
    USERS,
    YEARS,
    eval_examples,
)
from trainer.movielens import GENRES
from trainer.serving_contract import (
    NO_SCORE,
    RECOMMEND,
    RECOMMEND_FROM_HISTORY,
    SIGNATURES,
    Signature,
)

pytestmark = [pytest.mark.slow, pytest.mark.fuzz]

# Answers requests, one JSON object a line. `fill` stands for a tensor of one value.
SERVER: Final = """
import json, re, sys
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
def tensor(dtype, values=None, fill=None, shape=None):
    decode = (lambda x: [decode(y) for y in x] if isinstance(x, list)
              else bytes.fromhex(x) if dtype == "string" else x)
    if fill is not None:
        return tf.fill(tf.constant(shape, tf.int32), tf.constant(decode(fill), dtype))
    return tf.constant(decode(values), dtype, shape)
def encode(x):
    return ([encode(y) for y in x] if isinstance(x, list)
            else x.hex() if isinstance(x, bytes) else x)
for line in sys.stdin:
    name, inputs = json.loads(line)
    inputs = {key: tensor(**value) for key, value in inputs.items()}
    try:
        answer = model.signatures[name](**inputs)
        answer = {key: encode(value.numpy().tolist()) for key, value in answer.items()}
    except Exception as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    # `ru_maxrss` would begin with what the parent process had when it started this one.
    peak = int(re.search("VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1]) >> 10
    print(json.dumps([answer, peak], allow_nan=False), flush=True)
"""
# Above what the process needs for a first request of each kind, in MiB.
MAX_GROWTH: Final = 300


class Server:
    """The process."""

    def __init__(self, model: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", SERVER, str(model)],
            cwd=model,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._least = 0
        answer, self._least = self._send("known_user", {"user_id": ids([b""])})
        assert answer == {"known": [False]}

    def ask(self, signature: str, inputs: dict[str, Any]) -> dict[str, Any]:
        """Returns the outputs, or `error` and `message`."""
        answer, peak = self._send(signature, inputs)
        assert peak < self._least + MAX_GROWTH
        return answer

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate(timeout=60)

    def _send(self, signature: str, inputs: dict[str, Any]) -> tuple[Any, int]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([signature, inputs]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the process ended on {signature} with {inputs}"
        answer, peak = json.loads(line)
        return answer, peak


@pytest.fixture(scope="module")
def server(small_export: Path) -> Iterator[Server]:
    server = Server(small_export)
    yield server
    server.close()


def ids(values: list[bytes]) -> dict[str, Any]:
    """A row of ids as an input."""
    as_hex = [value.hex() for value in values]
    return {"dtype": "string", "values": as_hex, "shape": [len(values)]}


_USER_IDS: Final = st.sampled_from([*USERS, b""]) | st.binary(max_size=12)
_TEXT_IDS: Final = st.text(max_size=6).map(lambda text: text.encode("utf-8", "ignore"))
_MOVIE_IDS: Final = st.sampled_from(MOVIE_IDS) | st.just(b"") | _TEXT_IDS
_RATINGS: Final = st.sampled_from([0.5, 4.0, 5.0]) | st.floats(width=32)
_TIMES: Final = st.sampled_from([0, 880000000, -(2**63), 2**63 - 1]) | st.integers(
    -(2**63), 2**63 - 1
)
_RATED: Final = {
    user: {MOVIE_IDS[index] for index in movies} for user, movies in USERS.items()
}
# Mostly few, so that most requests are sound.
_ROWS: Final = st.integers(0, 4) | st.sampled_from([1, 2, LIMITS.max_batch, 65, 5000])
_KS: Final = st.integers(1, LIMITS.max_k) | st.sampled_from(
    [-(2**31), -1, 0, LIMITS.max_k + 1, 10_000, 2**31 - 1]
)


@st.composite
def _id_rows(draw: st.DrawFn, each: st.SearchStrategy[bytes]) -> list[bytes]:
    """Ids of one request: a few drawn ones, over and over."""
    rows = draw(_ROWS)
    some = draw(st.lists(each, min_size=1, max_size=5))
    return [some[row % len(some)] for row in range(rows)]


@st.composite
def _k_of(draw: st.DrawFn, rows: int) -> list[int]:
    rows = draw(st.just(rows) | st.just(rows) | st.integers(0, 3))
    usual = st.integers(1, LIMITS.max_k)
    some = draw(st.lists(draw(st.sampled_from([usual, _KS])), min_size=1, max_size=3))
    return [some[row % len(some)] for row in range(rows)]


def _ints(values: list[int]) -> dict[str, Any]:
    return {"dtype": "int32", "values": values, "shape": [len(values)]}


def _k_is_sound(k: list[int], rows: int) -> bool:
    return len(k) == rows and all(1 <= each <= LIMITS.max_k for each in k)


def _assert_refused(answer: dict[str, Any], *names: str) -> None:
    assert answer.get("error") == "InvalidArgumentError", answer
    assert "assertion failed" in answer["message"]
    assert any(name in answer["message"] for name in names)


def _assert_recommended(
    answer: dict[str, Any], k: list[int], seen: list[set[bytes]]
) -> None:
    """Checks all rows; `seen` may hold ids that are none of the corpus."""
    assert "error" not in answer, answer
    width = max(k, default=0)
    for row, (asked, watched) in enumerate(zip(k, seen, strict=True)):
        movies = [bytes.fromhex(movie) for movie in answer["movie_ids"][row]]
        scores = answer["scores"][row]
        count = min(asked, len(set(MOVIE_IDS) - watched))
        assert len(movies) == len(scores) == width
        assert len(set(movies[:count])) == count
        assert set(movies[:count]) <= set(MOVIE_IDS) - watched
        assert all(map(math.isfinite, scores))
        assert scores == sorted(scores, reverse=True)
        assert movies[count:] == [b""] * (width - count)
        assert scores[count:] == pytest.approx([NO_SCORE] * (width - count))
        for name in ("titles", "genres"):
            assert answer[name][row][count:] == [""] * (width - count)
    assert len(answer["movie_ids"]) == len(k)


@given(data=st.data())
def test_serving_default(server: Server, data: st.DataObject) -> None:
    users = data.draw(_id_rows(_USER_IDS))
    k = data.draw(_k_of(len(users)))
    answer = server.ask("serving_default", {"user_id": ids(users), "k": _ints(k)})
    if len(users) > LIMITS.max_batch or not _k_is_sound(k, len(users)):
        _assert_refused(answer, "user_id", "k must be")
        return
    _assert_recommended(answer, k, [_RATED.get(user, set()) for user in users])


@st.composite
def _histories(draw: st.DrawFn) -> tuple[dict[str, Any], list[set[bytes]] | None]:
    """Draws three columns; returns the seen movies too, None for an unsound request."""
    rows, length = draw(st.integers(0, 4)), draw(st.integers(0, 12))
    shapes = [[rows, length]] * 3
    if draw(st.integers(0, 9)) == 0:  # shapes that do not belong together
        wrong = draw(st.integers(0, 2))
        shapes[wrong] = [draw(st.integers(0, 4)), draw(st.integers(0, 12))]

    def column(each: st.SearchStrategy[Any], shape: list[int]) -> list[Any]:
        size = shape[0] * shape[1]
        return draw(st.lists(each, min_size=size, max_size=size))

    ratings = draw(st.sampled_from([st.sampled_from([0.5, 4.0, 5.0]), _RATINGS]))
    movies = column(_MOVIE_IDS, shapes[0])
    stars, times = column(ratings, shapes[1]), column(_TIMES, shapes[2])
    inputs = {
        "movie_ids": {
            "dtype": "string",
            "values": [movie.hex() for movie in movies],
            "shape": shapes[0],
        },
        "ratings": {"dtype": "float32", "values": stars, "shape": shapes[1]},
        "timestamps": {"dtype": "int64", "values": times, "shape": shapes[2]},
    }
    is_sound = shapes[0] == shapes[1] == shapes[2] and all(
        math.isfinite(star) or not movie
        for movie, star in zip(movies, stars, strict=False)
    )
    if not is_sound:
        return inputs, None
    width = shapes[0][1]
    seen = [set(movies[row * width : (row + 1) * width]) for row in range(shapes[0][0])]
    return inputs, seen


def _complete(
    inputs: dict[str, Any], rows: int, signature: Signature = RECOMMEND_FROM_HISTORY
) -> dict[str, Any]:
    """Adds the inputs that a request leaves out."""
    return inputs | {
        name: {
            "dtype": tensor.dtype,
            "fill": "" if tensor.dtype == "string" else tensor.absent,
            "shape": [rows, *[0] * (len(tensor.dims) - 1)],
        }
        for name, tensor in signature.inputs.items()
        if name not in inputs
    }


@given(data=st.data())
def test_recommend_from_history(server: Server, data: st.DataObject) -> None:
    inputs, seen = data.draw(_histories())
    rows = len(seen) if seen is not None else inputs["movie_ids"]["shape"][0]
    rows = data.draw(st.just(rows) | st.just(rows) | st.just(rows) | st.integers(0, 4))
    users = data.draw(st.lists(_USER_IDS, min_size=rows, max_size=rows))
    k = data.draw(_k_of(rows))
    inputs |= {"user_id": ids(users), "k": _ints(k)}
    answer = server.ask("recommend_from_history", _complete(inputs, rows))
    if seen is None or len(seen) != rows or not _k_is_sound(k, rows):
        _assert_refused(answer, "k must be", "same number of rows", "shape", "ratings")
    else:
        # What the model knows of a user makes no difference: nobody can ask for it.
        _assert_recommended(answer, k, seen)


_YEARS: Final = st.sampled_from([0, 0, 1, 1980, 2**31 - 1]) | st.integers(-5, 5000)
_GENRES: Final = st.sampled_from([b"Drama", b"War", b"Children's", b""]) | _TEXT_IDS


@given(data=st.data())
def test_recommend(server: Server, data: st.DataObject) -> None:
    inputs, seen = data.draw(_histories())
    rows, excluded, named = inputs["movie_ids"]["shape"][0], [], []
    for name, each, found in (
        ("exclude_movie_ids", _MOVIE_IDS, excluded),
        ("genres", data.draw(st.just(st.just(b"")) | st.just(_GENRES)), named),
    ):
        width = data.draw(st.integers(0, 3))
        row = st.lists(each, min_size=width, max_size=width)
        found.extend(data.draw(st.lists(row, min_size=rows, max_size=rows)))
        values = [value.hex() for drawn in found for value in drawn]
        inputs[name] = {"dtype": "string", "values": values, "shape": [rows, width]}
    users = data.draw(st.lists(_USER_IDS, min_size=rows, max_size=rows))
    years = [data.draw(st.just((0, 0)) | st.tuples(_YEARS, _YEARS)) for _ in users]
    k = data.draw(_k_of(rows))
    inputs |= {"user_id": ids(users), "k": _ints(k)}
    inputs["first_year"] = _ints([first for first, _ in years])
    inputs["last_year"] = _ints([last for _, last in years])
    answer = server.ask("recommend", _complete(inputs, rows, RECOMMEND))
    names = {name.decode() for row in named for name in row}
    if (
        seen is None
        or not _k_is_sound(k, rows)
        or not names <= {*GENRES, "Children's", ""}
        or any(min(pair) < 0 or pair[0] > (pair[1] or 2**31) for pair in years)
    ):
        faults = ("k must be", "same number of rows", "same shape", "must be finite")
        _assert_refused(answer, *faults, "genres must be", "_year")
    else:
        hidden = [
            watched | {*out} | _RATED.get(user, set()) | _filtered(row, *pair)
            for watched, out, user, row, pair in zip(
                seen, excluded, users, named, years, strict=True
            )
        ]
        _assert_recommended(answer, k, hidden)


def _filtered(genres: list[bytes], first: int, last: int) -> set[bytes]:
    """The movies that do not pass."""
    names = {name.decode() for name in genres if name}
    return {
        movie
        for movie, year, of_movie in zip(MOVIE_IDS, YEARS, MOVIE_GENRES, strict=True)
        if (names and not names & {*of_movie})
        or (first and year < first)
        or (last and not 0 < year <= last)
    }


@pytest.mark.parametrize("length", [LIMITS.max_history, 1_000_000])
def test_a_long_history(server: Server, length: int) -> None:
    columns = (("movie_ids", "string", b"1".hex()), ("ratings", "float32", 4.0))
    inputs = {
        name: {"dtype": dtype, "fill": value, "shape": [1, length]}
        for name, dtype, value in (*columns, ("timestamps", "int64", 1))
    }
    inputs |= {"user_id": ids([b""]), "k": _ints([5])}
    answer = server.ask("recommend_from_history", _complete(inputs, 1))
    if length > LIMITS.max_history:
        _assert_refused(answer, "movie_ids has too many events")
    else:
        _assert_recommended(answer, [5], [{b"1"}])


@pytest.mark.parametrize(
    ("signature", "name"),
    [
        ("query_embedding", "user_id"),
        ("candidate_embedding", "movie_id"),
        ("known_user", "user_id"),
        ("known_movie", "movie_id"),
    ],
)
@given(data=st.data())
def test_signatures_of_ids(
    server: Server, signature: str, name: str, data: st.DataObject
) -> None:
    known = set(USERS) if name == "user_id" else set(MOVIE_IDS)
    rows = data.draw(_id_rows(_USER_IDS | _MOVIE_IDS))
    answer = server.ask(signature, {name: ids(rows)})
    if len(rows) > LIMITS.max_batch:
        _assert_refused(answer, name)
    elif signature.startswith("known"):
        assert answer == {"known": [each in known for each in rows]}
    else:
        assert len(answer["embedding"]) == len(rows)
        assert all(math.isfinite(x) for row in answer["embedding"] for x in row)


_WRONG: Final = {
    "string": {"dtype": "int32", "fill": 1},
    "int32": {"dtype": "float32", "fill": 1.0},
    "int64": {"dtype": "string", "fill": b"1".hex()},
    "float32": {"dtype": "int64", "fill": 4},
    "bool": {"dtype": "int32", "fill": 1},
}


@pytest.mark.parametrize("signature", SIGNATURES, ids=lambda signature: signature.name)
@settings(max_examples=30)
@given(data=st.data())
def test_other_types_and_ranks(
    server: Server, signature: Signature, data: st.DataObject
) -> None:
    fills = {"string": b"".hex(), "int32": 1, "int64": 1, "float32": 4.0, "bool": True}
    wrong = data.draw(st.sampled_from(sorted(signature.inputs)))
    inputs: dict[str, Any] = {}
    for name, tensor in signature.inputs.items():
        spec = {"dtype": tensor.dtype, "fill": fills[tensor.dtype]}
        rank = len(tensor.dims)
        if name == wrong and data.draw(st.booleans()):
            spec = _WRONG[tensor.dtype]
        elif name == wrong:
            rank = data.draw(st.sampled_from([r for r in range(4) if r != rank]))
        inputs[name] = {**spec, "shape": [1] * rank}
    answer = server.ask(signature.name, inputs)
    # Which of them depends on TensorFlow's release.
    assert answer.get("error") in ("InvalidArgumentError", "TypeError", "ValueError")


def test_evaluate_cannot_be_asked_for(server: Server) -> None:
    answer = server.ask("evaluate", {"examples": ids(eval_examples())})
    assert answer["error"] == "KeyError"
