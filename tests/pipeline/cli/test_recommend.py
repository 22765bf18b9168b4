"""`two-tower recommend` on a model that the whole chain has pushed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.conftest import Chain

pytestmark = pytest.mark.slow


def test_standard_output_is_json_alone(chain: Chain) -> None:
    outcome = chain.two_tower("recommend", "--history", "3, 13", "-k", "2", "--json")
    assert outcome.exit_code == 0, outcome.errors
    answer = json.loads(outcome.output)
    assert answer["history"] == ["3", "13"]
    assert answer["user"] is None
    assert answer["model"].startswith(str(chain.workspace / "serving"))
    first, second = answer["recommendations"]
    assert (first["rank"], second["rank"]) == (1, 2)
    assert first["score"] >= second["score"]
    assert {first["movie_id"], second["movie_id"]}.isdisjoint({"3", "13"})
    assert set(first) == {"rank", "movie_id", "title", "genres", "score"}


def test_the_log_of_tensorflow_is_not_shown(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    monkeypatch.setenv("TF_CPP_MAX_VLOG_LEVEL", "1")
    # TensorFlow reads these when it is imported, which no fork does.
    anew = replace(chain, python=None)
    outcome = anew.two_tower("recommend", "--user", "1", "-k", "1")
    assert outcome.exit_code == 0
    assert outcome.errors == ""


def test_k_can_be_the_whole_corpus(chain: Chain) -> None:
    outcome = chain.two_tower("recommend", "--user", "1", "-k", "61", "--json")
    found = json.loads(outcome.output)["recommendations"]
    assert 0 < len(found) < 61  # what user 1 has rated is left out
    assert all(movie["movie_id"] and movie["title"] for movie in found)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--user", "4242"], "knows no user '4242'"),
        (["--user", ""], "knows no user ''"),
        (["--history", "3,9999"], "unknown movies: 9999"),
        (["--user", "1", "-k", "62"], "recommends from 1 to 61 movies"),
    ],
)
def test_unknown_ids_and_sizes_are_named_in_one_line(
    chain: Chain, arguments: list[str], reason: str
) -> None:
    outcome = chain.two_tower("recommend", *arguments)
    assert outcome.exit_code == 2
    assert outcome.output == ""
    [line] = outcome.errors.splitlines()
    assert reason in line
