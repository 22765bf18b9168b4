"""The page's JSON, from the pushed model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.serving.server.app import create_app
from pipeline.serving.server.models import ModelVersions
from tests.conftest import Chain
from tests.fixtures.running_app import RunningApp, running
from tests.pipeline.serving.demo.conftest import CANARY, STABLE
from trainer.serving_contract import MODEL_INFO_FILE

pytestmark = pytest.mark.slow


def ask(server: RunningApp, name: str, **body: Any) -> Any:
    status, _, answer = server.request(f"/demo/api/{name}", body)
    assert status == 200, answer
    return json.loads(answer)


def recommended(server: RunningApp, **body: Any) -> list[Any]:
    """The movies of the stable version."""
    return ask(server, "recommend", **body)["answers"][0]["movies"]


def ids(found: list[Any]) -> list[str]:
    return [entry["movie"]["id"] for entry in found]


def rated(chain: Chain, user: str) -> dict[str, float]:
    """What the data says that a user has rated: movie -> rating."""
    lines = (chain.data / "u.data").read_text().splitlines()
    rows = [line.split("\t") for line in lines]
    return {movie: float(rating) for who, movie, rating, _ in rows if who == user}


def test_both_versions_are_described(demo: RunningApp) -> None:
    stable, canary = ask(demo, "versions")["versions"]
    assert (stable["version"], stable["labels"]) == (STABLE, ["stable"])
    assert (canary["version"], canary["labels"]) == (CANARY, ["canary"])
    assert (stable["movies"], stable["users"], stable["missing"]) == (61, 200, [])
    assert stable["scale"]["highest"] == 5


def test_a_stored_timeline_is_what_was_rated(demo: RunningApp, chain: Chain) -> None:
    answer = ask(demo, "timeline", user_id="1")
    events = answer["events"]
    assert answer["knows_user"]
    found = {event["movie"]["id"]: event["rating"] for event in events}
    assert found == rated(chain, "1")
    assert [event["at"] for event in events] == sorted(event["at"] for event in events)
    unknown = ask(demo, "timeline", user_id="никто \u202e<script>")
    assert unknown == {"knows_user": False, "events": []}


def test_what_was_watched_returns_only_if_it_may(
    demo: RunningApp, chain: Chain
) -> None:
    seen = rated(chain, "1").keys()
    assert not seen & set(ids(recommended(demo, user_id="1", k=61)))
    again = recommended(demo, user_id="1", k=61, include_seen=True)
    assert len(again) == 61
    assert {e["movie"]["id"] for e in again if e["is_watched"]} == seen


def test_a_diverse_answer_has_other_movies_but_the_same_first(
    demo: RunningApp,
) -> None:
    assert all(
        version["has_diversity"] for version in ask(demo, "versions")["versions"]
    )
    usual = recommended(demo, user_id="1")
    diverse = recommended(demo, user_id="1", diversity=0.9)
    assert ids(diverse)[0] == ids(usual)[0]
    assert ids(diverse) != ids(usual)
    assert recommended(demo, user_id="1", diversity=0) == usual
    status, _, answer = demo.request("/demo/api/recommend", {"diversity": 1})
    assert (status, answer) == (
        400,
        b'{"error":"diversity: Input should be less than 1"}',
    )


def test_movies_that_are_added_change_the_answer_at_once(demo: RunningApp) -> None:
    before = recommended(demo, user_id="1")
    added = [{"movie_id": ids(before)[0], "rating": 5}]
    after = recommended(demo, user_id="1", events=added)
    assert ids(after) != ids(before)
    assert added[0]["movie_id"] not in ids(after)
    assert recommended(demo, events=added) != recommended(demo)


def test_reasons_are_the_closest_of_the_history_without_bias(
    demo: RunningApp, chain: Chain
) -> None:
    folder = next((chain.workspace / "serving").glob("[0-9]*"))
    model = tf.saved_model.load(str(folder))
    history = list(rated(chain, "1"))

    def embedded(movie_ids: list[str]) -> Any:
        outputs = model.signatures["candidate_embedding"](tf.constant(movie_ids))
        return outputs["embedding"].numpy()[:, :-1]

    for entry in recommended(demo, user_id="1", k=5):
        [own] = embedded([entry["movie"]["id"]])
        similarity = embedded(history) @ own
        best = [i for i in np.argsort(-similarity)[:3] if similarity[i] > 0]
        assert [r["movie"]["id"] for r in entry["reasons"]] == [
            history[i] for i in best
        ]
        np.testing.assert_allclose(
            [r["similarity"] for r in entry["reasons"]], similarity[best], rtol=1e-4
        )


def test_filters_leave_only_what_matches(demo: RunningApp) -> None:
    genre = "Comedy"  # not all of which this user has watched
    assert genre in ask(demo, "versions")["versions"][0]["genres"]
    found = recommended(demo, user_id="1", genres=[genre], k=61)
    assert found
    assert all(genre in entry["movie"]["genres"] for entry in found)
    years = [entry["movie"]["year"] for entry in recommended(demo, k=61)]
    middle = sorted(years)[len(years) // 2]
    newer = recommended(demo, first_year=middle, k=61)
    assert len(newer) == sum(year >= middle for year in years)
    assert recommended(demo, first_year=9000) == []


def test_similar_movies_are_others(demo: RunningApp) -> None:
    answer = ask(demo, "similar", movie_id="1", k=5)
    assert answer["movie"]["title"] == "Hamlet (2000)"
    assert len(answer["similar"]) == 5
    assert "1" not in ids(answer["similar"])
    status, _, body = demo.request("/demo/api/similar", {"movie_id": "no such"})
    message = f"Version {STABLE} knows no movie “no such”."
    assert (status, json.loads(body)["error"]) == (404, message)


def test_search_and_random_user(demo: RunningApp) -> None:
    assert ask(demo, "users", query="20", limit=2)["users"] == ["20", "200"]
    found = ask(demo, "movies", query="hamlet")["movies"]
    assert [movie["id"] for movie in found] in (["1", "2"], ["2", "1"])
    unknown = ask(demo, "lookup", movie_ids=["映画"])["movies"][0]
    assert (unknown["id"], unknown["is_known"]) == ("映画", False)
    user = ask(demo, "random-user")["user_id"]
    assert ask(demo, "timeline", user_id=user)["knows_user"]


def test_what_the_model_refuses_is_a_client_error(demo: RunningApp) -> None:
    for body in ({"k": 5000}, {"genres": ["No genre"]}):
        status, _, answer = demo.request("/demo/api/recommend", body)
        assert status == 400
        assert next(iter(body)) in json.loads(answer)["error"]


def test_a_model_of_an_earlier_release_is_described_but_not_asked(
    tmp_path: Path, chain: Chain
) -> None:
    module = tf.Module()
    known = tf.function(lambda user_id: {"known": tf.equal(user_id, "1")})
    spec = tf.TensorSpec([None], tf.string, "user_id")
    signature = known.get_concrete_function(spec)
    tf.saved_model.save(module, str(tmp_path), {"known_user": signature})
    pushed = next((chain.workspace / "serving").glob("[0-9]*"))
    info = tmp_path / MODEL_INFO_FILE
    info.parent.mkdir()
    info.write_bytes((pushed / MODEL_INFO_FILE).read_bytes())
    versions = ModelVersions.of_model(tmp_path, "two-tower")
    versions.refresh()
    with running(create_app(versions, demo=True)) as server:
        [described] = ask(server, "versions")["versions"]
        assert "catalogue" in described["missing"]
        status, _, body = server.request("/demo/api/recommend", {})
        assert status == 501
        assert "Push a new model with `two-tower run`." in json.loads(body)["error"]
