"""The pushed model, as a server and `two-tower recommend` use it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorflow.core.protobuf import saved_model_pb2
from tfx.types import artifact_utils, standard_artifacts

from components.evaluator.model_faults import signature_fault
from components.servability_check import component
from components.servability_check.component import REPORT_FILE
from components.servability_check.config import ServingConfig
from components.servability_check.queries import read_corpus, read_queries
from tests.conftest import DAYS, Chain
from trainer.features import SPLITS
from trainer.serving_contract import NO_SCORE, SIGNATURES

pytestmark = pytest.mark.slow

# Queries the pushed model in a process that imports TensorFlow and nothing of ours.
ASK = """
import json, sys
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
ids = lambda *names: tf.constant(names)
k = lambda *n: tf.constant(n)
default = model.signatures["serving_default"]
from_history = model.signatures["recommend_from_history"]
def ask(user, n=10):
    top = default(user_id=ids(user), k=k(n))
    return {name: [x.decode() if isinstance(x, bytes) else float(x) for x in row[0]]
            for name, row in ((key, value.numpy()) for key, value in top.items())}
def rows(*instances):
    top = default(user_id=ids(*(user for user, _ in instances)),
                  k=k(*(n for _, n in instances)))
    return {name: [[x.decode() if isinstance(x, bytes) else float(x) for x in row]
                   for row in value.numpy()] for name, value in top.items()}
def history(user, movies):
    size = [1, len(movies)]
    top = from_history(
        user_id=ids(user), movie_ids=tf.constant([movies]), ratings=tf.ones(size),
        timestamps=tf.ones(size, tf.int64), k=k(5),
        age=tf.constant([-1], tf.int64), gender=ids(""), occupation=ids(""),
        exclude_movie_ids=tf.constant([[""]]), genres=tf.constant([[""]]),
        first_year=tf.constant([0]), last_year=tf.constant([0]),
        diversity=tf.constant([0.0]))
    return [x.decode() for x in top["movie_ids"].numpy()[0]]
def embedding(movie):
    found = model.signatures["candidate_embedding"](movie_id=ids(movie))
    return found["embedding"].numpy()[0].tolist()
def dot(user, movie):
    query = model.signatures["query_embedding"](user_id=ids(user))["embedding"]
    candidate = model.signatures["candidate_embedding"](movie_id=ids(movie))
    return float(tf.reduce_sum(query * candidate["embedding"]))
def reasons(folder, requests):
    sys.path.insert(0, folder)
    from serving_checks import calls, checks, requests as asked
    content = asked.Requests(json.load(open(requests)))
    return checks.answer_reasons(calls.Client(model, content.types), content)
def refused(n):
    try: default(user_id=ids("1"), k=k(n))
    except tf.errors.InvalidArgumentError as error: return str(error)
json.dump({
    "signatures": sorted(model.signatures),
    "known": ask("1"), "all": ask("1", 61), "new": ask("new"), "blank": ask(""),
    "history": [history("new", ["3", "13", "23"]), history("new", ["4", "14", "24"])],
    "embeddings": [embedding(str(number)) for number in range(1, 62)],
    "unknown": embedding("no movie"),
    "dot": dot("1", ask("1")["movie_ids"][0]),
    "refused": [refused(0), refused(62)],
    "rows": rows(("1", 3), ("new", 1), ("2", 10)),
    "alone": [ask("1", 3), ask("new", 1), ask("2", 10)],
    "evaluate": bool(model.evaluate.concrete_functions),
    "modules": [m for m in ("trainer", "tensorflow_transform") if m in sys.modules],
    "reasons": reasons(*sys.argv[3:]),
}, open(sys.argv[2], "w"))
"""


def pushed_model(chain: Chain) -> Path:
    """The one version: other tests may have pushed the same model once more."""
    [version] = (chain.workspace / "serving").glob("[0-9]*")
    return version


@pytest.fixture(scope="module")
def answers(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the pushed model returns after it was moved out of its workspace."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copytree(pushed_model(chain), folder / "1")
    (folder / "requests.json").write_text(json.dumps(evaluated_requests(chain)))
    command = [sys.executable, "-I", "-c", ASK, "1", "answers.json"]
    checks = str(Path(component.__file__).parent)
    subprocess.run([*command, checks, "requests.json"], cwd=folder, check=True)
    content: dict[str, Any] = json.loads((folder / "answers.json").read_text())
    return content


def evaluated_requests(chain: Chain) -> dict[str, Any]:
    """Of the eval split, as ServabilityCheck makes them."""
    folder = chain.workspace / "artifacts/MovieLensExampleGen/examples"
    examples = standard_artifacts.Examples()
    examples.uri = str(min(folder.iterdir(), key=lambda path: int(path.name)))
    examples.split_names = artifact_utils.encode_split_names([*SPLITS])
    examples.set_string_custom_property("payload_format", "FORMAT_TF_EXAMPLE")
    queries, corpus = read_queries(examples, 32), read_corpus(examples)
    return component.requests_of(ServingConfig(), queries, corpus)


def rated_by(chain: Chain, user: str) -> set[str]:
    rows = (line.split("\t") for line in (chain.data / "u.data").open())
    return {row[1] for row in rows if row[0] == user}


def test_the_pushed_folder_is_complete(chain: Chain) -> None:
    model = pushed_model(chain)
    assert model.parent == chain.workspace / "serving"
    assert (model / "variables" / "variables.index").is_file()
    assert {path.name for path in (model / "assets").iterdir()} >= {"movie_id"}
    extra = {path.name for path in (model / "assets.extra").iterdir()}
    assert extra == {
        "model_info.json",
        "push.json",
        "tf_serving_warmup_requests",
        "train_statistics.pb",
    }


def test_a_server_needs_nothing_but_tensorflow(answers: dict[str, Any]) -> None:
    assert answers["modules"] == []
    assert set(answers["signatures"]) == {signature.name for signature in SIGNATURES}
    assert answers["known"]["scores"][0] == pytest.approx(answers["dot"], rel=1e-5)


def test_a_movie_without_ratings_is_embedded_as_those_of_its_genre(
    chain: Chain, answers: dict[str, Any]
) -> None:
    # The candidate tower itself gives it the bias of the unknown movie.
    assert answers["embeddings"][-1][-1] != answers["unknown"][-1]
    lines = (chain.data / "u.item").read_text("latin-1").splitlines()
    genres = np.array([[int(flag) for flag in line.split("|")[5:]] for line in lines])
    embeddings = np.array(answers["embeddings"])[:, :-1]
    embeddings -= embeddings[:-1].mean(axis=0)
    alike = embeddings[:-1] @ embeddings[-1]
    of_its_genre = genres[:-1] @ genres[-1] > 0
    assert 0 < of_its_genre.sum() < 60
    assert alike[of_its_genre].mean() > 0 > alike[~of_its_genre].mean()


def test_every_unseen_movie_is_served_once(
    chain: Chain, answers: dict[str, Any]
) -> None:
    """The held-out movie counts as seen here: the user has rated it."""
    found = [movie for movie in answers["all"]["movie_ids"] if movie]
    seen = rated_by(chain, "1")
    assert sorted(found, key=int) == sorted(
        {str(number) for number in range(1, 62)} - seen, key=int
    )
    assert answers["all"]["scores"][len(found) :] == [NO_SCORE] * len(seen)


def test_movies_of_one_title_are_two_movies(answers: dict[str, Any]) -> None:
    whole = answers["new"]["movie_ids"] + answers["all"]["movie_ids"]
    titles = dict(
        zip(whole, answers["new"]["titles"] + answers["all"]["titles"], strict=True)
    )
    assert len(set(answers["new"]["movie_ids"])) == 10
    hamlets = {movie for movie, title in titles.items() if title == "Hamlet (2000)"}
    assert hamlets <= {"1", "2"} and hamlets


def test_unknown_users_are_one_user_with_finite_scores(answers: dict[str, Any]) -> None:
    assert answers["new"] == answers["blank"]
    assert all(abs(score) < float("inf") for score in answers["new"]["scores"])
    first, second = answers["history"]
    assert first != second
    assert not {"3", "13", "23"} & set(first)


def test_k_out_of_range_is_refused(answers: dict[str, Any]) -> None:
    for message in answers["refused"]:
        assert "k must be from 1 to] [61]" in message


def test_rows_of_one_batch_ask_for_different_k(answers: dict[str, Any]) -> None:
    """As a server joins REST instances, or the requests of several callers."""
    for row, alone in enumerate(answers["alone"]):
        k = len(alone["movie_ids"])
        padding = {"scores": NO_SCORE}
        for name, values in answers["rows"].items():
            assert values[row][k:] == [padding.get(name, "")] * (10 - k)
            if name == "scores":
                assert values[row][:k] == pytest.approx(alone[name], rel=1e-5)
            else:
                assert values[row][:k] == alone[name]


def test_every_answer_is_json(answers: dict[str, Any]) -> None:
    json.dumps([answers["all"], answers["rows"]], allow_nan=False)


def test_only_those_who_have_the_files_can_evaluate(
    chain: Chain, answers: dict[str, Any]
) -> None:
    """A server offers the signatures, and nothing else of a SavedModel."""
    assert answers["evaluate"]
    assert signature_fault(str(pushed_model(chain))) is None
    saved_model = saved_model_pb2.SavedModel()
    saved_model.ParseFromString((pushed_model(chain) / "saved_model.pb").read_bytes())
    (graph,) = saved_model.meta_graphs
    offered = {name for name in graph.signature_def if not name.startswith("__")}
    assert offered == {signature.name for signature in SIGNATURES}
    assert "evaluate" not in offered


def test_elsewhere_every_signature_answers_what_was_evaluated(
    answers: dict[str, Any],
) -> None:
    """A copy of the folder, in a process that has TensorFlow alone."""
    assert answers["reasons"] == []


def test_the_run_has_asked_the_model_through_the_c_api(chain: Chain) -> None:
    folder = chain.workspace / "artifacts/ServabilityCheck/blessing"
    reports = [json.loads(path.read_text()) for path in folder.rglob(REPORT_FILE)]
    assert reports
    for report in reports:
        assert report["reasons"] == []
        assert report["c_api"] in ("checked", "not checked: no C compiler was found")


def test_a_movie_that_only_the_last_span_lists_is_served(
    chain: Chain, answers: dict[str, Any]
) -> None:
    """Nobody has rated it, but it is in the corpus and may stand in a history."""
    movies = []
    for day in DAYS:
        span = ("--data-dir", str(chain.spans), "--set", f"data.last_span={day}")
        movies.append(
            json.loads(chain.two_tower("data", "info", *span, "--json").output)
        )
    assert [found["movies"] for found in movies] == [60, 61]
    index = answers["all"]["movie_ids"].index("61")
    assert answers["all"]["titles"][index] == "Brand New (2026)"
    assert abs(answers["all"]["scores"][index]) < float("inf")
    outcome = chain.two_tower("recommend", "--history", "61", "-k", "3")
    assert outcome.exit_code == 0, outcome.errors


def test_recommend_prints_a_table(chain: Chain) -> None:
    outcome = chain.two_tower("recommend", "--user", "42", "-k", "10")
    assert outcome.exit_code == 0, outcome.errors
    rows = re.findall(r"^ +(\d+) +(\d+) +(\S.*?) {2,}", outcome.output, re.MULTILINE)
    assert [int(rank) for rank, *_ in rows] == list(range(1, 11))
    assert not {movie for _, movie, _ in rows} & rated_by(chain, "42")
    assert outcome.errors == ""
