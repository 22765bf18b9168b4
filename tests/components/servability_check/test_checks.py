"""A sound model passes every check, and each fault of a model fails one."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.servability_check.component import requests_of
from components.servability_check.queries import read_corpus, read_queries
from components.servability_check.serving_checks import c_api, checks, evaluation
from components.servability_check.serving_checks.answers import Listed
from components.servability_check.serving_checks.c_api import CApiClient
from components.servability_check.serving_checks.calls import Client
from components.servability_check.serving_checks.requests import Requests
from components.servability_check.serving_checks.signatures import check_signatures
from pipeline.config import ServingConfig
from tests.fixtures.altered_model import AlteredModel, Values
from tests.fixtures.example_rows import write_examples
from tests.fixtures.exported_model import LIMITS, small_rows
from trainer.serving_contract import NO_SCORE

pytestmark = pytest.mark.slow

FROM_HISTORY = "recommend_from_history"


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("data") / "examples"
    examples = write_examples(folder, small_rows())
    config = ServingConfig(**dataclasses.asdict(LIMITS), max_latency_ms=None)
    return requests_of(config, read_queries(examples, 32), read_corpus(examples))


@pytest.fixture(scope="module")
def requests(content: dict[str, Any]) -> Requests:
    return Requests(content)


@pytest.fixture(scope="module")
def model(small_model: Any) -> Any:
    return small_model


def scaled(name: str, factor: float) -> Callable[[Values], Values]:
    return lambda values: values | {name: values[name] * factor}


def replaced(**new: Any) -> Callable[[Values], Values]:
    """Replaces all values of an input by one."""
    return lambda values: (
        values | {k: tf.fill(tf.shape(values[k]), v) for k, v in new.items()}
    )


def reversed_along(axis: int, *names: str) -> Callable[[Values], Values]:
    return lambda values: values | {name: np.flip(values[name], axis) for name in names}


def reversed_events(values: Values) -> Values:
    """A timeline read from its other end, by somebody who trusts no timestamps."""
    times = values["timestamps"]
    return values | {"timestamps": -times}


def first_rows(count: int) -> Callable[[Values], Values]:
    return lambda values: {name: value[:count] for name, value in values.items()}


def infinite_filler(values: Values) -> Values:
    scores = values["scores"]
    return values | {"scores": np.where(scores == NO_SCORE, -np.inf, scores)}


def one_movie_only(values: Values) -> Values:
    movies = values["movie_ids"]
    return values | {"movie_ids": np.where(movies == b"", b"", movies[:, :1])}


def without_the_best(values: Values) -> Values:
    """What an index that misses the best movie answers."""
    filler = {"scores": np.float32(NO_SCORE)}
    return {
        name: np.pad(
            array[:, 1:].astype(object),
            [[0, 0], [0, 1]],
            constant_values=filler.get(name, b""),
        ).astype(array.dtype)
        for name, array in values.items()
    }


RECOMMENDED = ("movie_ids", "titles", "genres", "scores")
# Check, function, what becomes of its inputs or outputs, and the reason.
FAULTS: dict[str, tuple[Any, str, dict[str, Any], str]] = {
    "nan": (
        checks.check_known_users,
        "recommend",
        {"outputs": scaled("scores", np.nan)},
        "scores are nan",
    ),
    "minus infinity": (
        checks.check_known_users,
        "serving_default",
        {"outputs": infinite_filler},
        "scores are -inf",
    ),
    "one movie twice": (
        checks.check_known_users,
        "serving_default",
        {"outputs": one_movie_only},
        " times",
    ),
    "worst first": (
        checks.check_histories,
        "recommend_from_history",
        {"outputs": reversed_along(1, *RECOMMENDED)},
        "come after empty ids",
    ),
    "k of another row": (
        checks.check_known_users,
        "serving_default",
        {"inputs": lambda values: values | {"k": tf.reverse(values["k"], [0])}},
        "were asked for",
    ),
    "rows of others": (
        checks.check_similar_movies,
        "similar_movies",
        {"outputs": reversed_along(0, *RECOMMENDED)},
        "is one that the user has seen or excluded",
    ),
    "seen movies": (
        checks.check_known_users,
        "recommend",
        {"inputs": replaced(include_seen=True)},
        "is one that the user has seen or excluded",
    ),
    "never seen movies": (
        checks.check_seen_movies,
        "recommend",
        {"inputs": replaced(include_seen=False)},
        "include_seen leaves out movie",
    ),
    "excluded movies": (
        checks.check_filters,
        FROM_HISTORY,
        {"inputs": replaced(exclude_movie_ids="")},
        "is one that the user has seen or excluded",
    ),
    "any genre": (
        checks.check_filters,
        "recommend",
        {"inputs": replaced(genres="")},
        "does not pass the filters",
    ),
    "any year": (
        checks.check_filters,
        FROM_HISTORY,
        {"inputs": replaced(first_year=0)},
        "does not pass the filters",
    ),
    "no last year": (
        checks.check_filters,
        "recommend",
        {"inputs": replaced(last_year=0)},
        "does not pass the filters",
    ),
    "the filter of the first row": (
        checks.check_filters,
        "recommend",
        {
            "inputs": lambda values: (
                values
                | {
                    "first_year": tf.zeros_like(values["k"]) + values["first_year"][0],
                    "last_year": tf.zeros_like(values["k"]),
                }
            )
        },
        "where at least",
    ),
    "any k": (
        checks.check_refusals,
        "recommend",
        {"inputs": lambda v: v | {"k": tf.clip_by_value(v["k"], 1, LIMITS.max_k)}},
        "recommend accepts k=21",
    ),
    "any batch": (
        checks.check_refusals,
        "known_movie",
        {"inputs": first_rows(LIMITS.max_batch)},
        "known_movie accepts 65 rows",
    ),
    "any rating": (
        checks.check_refusals,
        FROM_HISTORY,
        {
            "inputs": lambda values: (
                values
                | {"ratings": tf.where(values["ratings"] < 9, values["ratings"], 0)}
            )
        },
        "accepts a rating of nan",
    ),
    "empty user": (
        checks.check_unknown_users,
        "serving_default",
        {
            "inputs": lambda values: (
                values
                | {
                    "user_id": tf.where(
                        values["user_id"] == "", "42", values["user_id"]
                    )
                }
            )
        },
        "an empty user id gets other scores",
    ),
    "other embedding": (
        checks.check_embeddings,
        "query_embedding",
        {"outputs": scaled("embedding", 2)},
        "the dot product of the embeddings is not the score of recommend",
    ),
    "everybody is known": (
        checks.check_known,
        "known_user",
        {"outputs": lambda values: {"known": values["known"] | True}},
        'known_user says True of "no such user',
    ),
    "no movie is known": (
        checks.check_known,
        "known_movie",
        {"outputs": lambda values: {"known": values["known"] & False}},
        "known_movie says False of",
    ),
    "a movie is not in the catalogue": (
        checks.check_catalogue,
        "catalogue",
        {"outputs": lambda v: {n: np.delete(a, 3, axis=0) for n, a in v.items()}},
        "catalogue lacks 1 movies",
    ),
    "similar by popularity": (
        checks.check_similar_movies,
        "similar_movies",
        {"outputs": scaled("scores", 0.5)},
        "a score is not the cosine",
    ),
    "examples without events": (
        checks.check_agreement,
        "recommend_examples",
        {"outputs": scaled("scores", 0.5)},
        "recommend_examples without events answers otherwise than serving_default",
    ),
    "unstable in a batch": (
        checks.check_batches,
        "serving_default",
        {
            "outputs": lambda values: (
                values if len(values["scores"]) == 1 else scaled("scores", 0.99)(values)
            )
        },
        "row 1 of a batch is answered otherwise than alone: the score at place 1",
    ),
    # Equal to the evaluation.
    "reversed timelines": (
        checks.check_evaluation,
        FROM_HISTORY,
        {"inputs": reversed_events},
        "would be right for the same query but for the order of the events",
    ),
    "no times": (
        checks.check_evaluation,
        FROM_HISTORY,
        {"inputs": lambda v: v | {"timestamps": v["timestamps"] // 10**9}},
        "the evaluation depends on times and recommend_from_history does not",
    ),
    "an index that misses the best": (
        checks.check_evaluation,
        FROM_HISTORY,
        {"outputs": without_the_best},
        "does not answer what the evaluation ranks",
    ),
    "another corpus": (
        checks.check_evaluation,
        "evaluate",
        {"outputs": lambda v: v | {"corpus_size": v["corpus_size"] - 1}},
        "evaluate ranks 29 movies, but the catalogue has 30",
    ),
    "other ranks": (
        checks.check_evaluation,
        "evaluate",
        {"outputs": lambda v: v | {"rank": np.where(v["rank"] > 0, 1, 0)}},
        "but its rank is 1",
    ),
}


def test_a_sound_model_passes(model: Any, requests: Requests) -> None:
    """Among its users is one who has seen every movie: nothing is left to compare."""
    corpus = requests.corpus
    assert any({*u["seen"], *u["held_out"]} == corpus for u in requests.users)
    assert checks.answer_reasons(Client(model, requests.types), requests) == []
    assert list(check_signatures(model, requests)) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_a_reason(model: Any, requests: Requests, fault: str) -> None:
    check, function, changes, reason = FAULTS[fault]
    client = Client(AlteredModel(model, function, **changes), requests.types)
    found = checks.reasons(check, client, requests)
    assert any(reason in text for text in found), found
    assert all("\n" not in text for text in found)


def test_an_off_by_one_in_the_catalogue_is_named(
    model: Any, requests: Requests
) -> None:
    movies = model.catalogue.concrete_functions[0]()["movie_id"].numpy().tolist()
    following = dict(zip(movies, [*movies[1:], b""], strict=True)) | {b"": b""}

    def shifted(values: Values) -> Values:
        ids = values["movie_ids"]
        flat = [following[movie] for movie in ids.ravel().tolist()]
        return values | {"movie_ids": np.array(flat, object).reshape(ids.shape)}

    shifted_model = AlteredModel(model, FROM_HISTORY, outputs=shifted)
    client = Client(shifted_model, requests.types)
    found = list(checks.check_evaluation(client, requests))
    assert any("is the one after it in the catalogue" in text for text in found), found


def test_an_approximate_index_may_lose_what_was_measured_and_no_more(
    model: Any, content: dict[str, Any]
) -> None:
    """All but the best movie are found, in the right order."""
    requests = Requests(content | {"is_exact": False})

    def found(recall: float) -> list[str]:
        def measured(values: Values) -> Values:
            return values | {"index_recall": values["index_recall"] * 0 + recall}

        lossy = AlteredModel(model, FROM_HISTORY, outputs=without_the_best)
        both = AlteredModel(lossy, "evaluate", outputs=measured)
        client = Client(both, requests.types)
        return list(evaluation.check_evaluation(client, requests))

    assert found(0.6) == []
    (reason,) = found(0.98)
    assert "which has measured an index_recall of 0.980" in reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda types: types["serving_default"]["outputs"]["scores"].update(
                dtype="float64"
            ),
            "output of serving_default: scores is float32 of rank 2, not float64",
        ),
        (
            lambda types: types["recommend"]["inputs"]["k"].update(dims=()),
            "input of recommend: k is int32 of rank 1, not int32 of rank 0",
        ),
        (
            lambda types: types["recommend"]["inputs"].update(
                mood={"dtype": "string", "dims": ("B",), "absent": ""}
            ),
            "input of recommend: mood is missing",
        ),
        (
            lambda types: types["recommend"]["inputs"].pop("genres"),
            "input of recommend: genres is not documented",
        ),
        (
            lambda types: types.update(explain={"inputs": {}, "outputs": {}}),
            "function explain is missing",
        ),
    ],
)
def test_what_differs_from_the_contract_is_a_reason(
    model: Any, content: dict[str, Any], change: Callable[[Any], Any], reason: str
) -> None:
    types = {
        name: {
            side: {key: dict(tensor) for key, tensor in each[side].items()}
            for side in ("inputs", "outputs")
        }
        for name, each in content["types"].items()
    }
    change(types)
    assert reason in " ".join(
        check_signatures(model, Requests(content | {"types": types}))
    )


@pytest.mark.parametrize(
    ("signatures", "reason"),
    [
        (lambda names: names[:-1], "signature known_movie is not one that callers"),
        (lambda names: [*names, "explain"], "signature explain is missing"),
    ],
)
def test_the_signatures_are_those_of_the_contract(
    model: Any, content: dict[str, Any], signatures: Any, reason: str
) -> None:
    types = {**content["types"], "explain": {"inputs": {}, "outputs": {}}}
    changed = content | {"signatures": signatures(content["signatures"])}
    found = list(check_signatures(model, Requests(changed | {"types": types})))
    assert any(reason in text for text in found), found


def test_movies_of_equal_scores_may_change_places() -> None:
    def listed(movies: str, *scores: float) -> Listed:
        return Listed(list(movies), np.array(scores, np.float32))

    first = listed("abc", 3, 2, 2)
    assert first.fault(listed("acb", 3, 2, 2)) is None
    assert first.fault(listed("acd", 3, 2, 2)) is None  # d just misses the end
    assert first.fault(listed("bac", 3, 2, 2)) == 'place 1 is movie "a" and not "b"'
    assert first.fault(listed("dbc", 3, 2, 2)) == 'place 1 is movie "a" and not "d"'
    assert first.fault(listed("abc", 3, 2, 1)) == (
        "the score at place 3 is 2 and not 1"
    )
    assert first.fault(listed("ab", 3, 2)) == "3 movies and not 2"


def test_the_c_api_answers_as_python_does(
    small_export: Path, model: Any, requests: Requests
) -> None:
    sound = CApiClient(str(small_export), requests)
    if sound.note:
        pytest.skip(sound.note)
    assert list(sound.faults(Client(model, requests.types))) == []
    altered = AlteredModel(model, "query_embedding", outputs=scaled("embedding", 1.01))
    again = CApiClient(str(small_export), requests)
    (fault,) = again.faults(Client(altered, requests.types))
    assert fault.startswith(
        "query_embedding answers otherwise through TensorFlow's C API: embedding[0, "
    )


def test_without_a_compiler_the_report_says_so(
    small_export: Path, requests: Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(c_api, "_COMPILERS", ("no-such-compiler",))
    client = CApiClient(str(small_export), requests)
    assert client.note == "no C compiler was found (no-such-compiler)"
    assert list(client.faults(None)) == []  # type: ignore[arg-type]


def test_an_eval_row_is_asked_for_as_it_was_written(content: dict[str, Any]) -> None:
    user = content["users"][0]
    row = tf.train.Example.FromString(base64.b64decode(user["example"]))
    assert (
        row.features.feature["user_id"].bytes_list.value[0].decode() == user["user_id"]
    )
    assert [*row.features.feature["ratings"].float_list.value] == user["ratings"]
