"""Which models are blessed, and the reasons for the decision."""

from __future__ import annotations

import dataclasses
import html

import pytest
from tfx.types import standard_artifacts

from components.evaluator.config import EvalConfig, SliceThresholds
from components.report_gen import page
from tests.fixtures.eval_bench import is_blessed
from tests.fixtures.eval_world import CONFIG, HELD_OUT
from tests.fixtures.report_facts import facts
from trainer.errors import UserError

pytestmark = pytest.mark.slow


def reasons_in_the_report(summary):
    """Returns the reasons on the report page of a run whose model was not blessed."""
    whole = dataclasses.replace(facts(**summary), pushed_version=None)
    text = page.render(whole)
    assert "Not blessed: nothing is live" in text
    return [r for r in summary["reasons"] if f"<li>{html.escape(r)}</li>" in text]


def test_planted_taste_beats_popularity_by_a_wide_margin(world):
    summary, blessing = world.evaluate("good")
    assert summary["popularity_lift"]["ndcg@10"] > 1.5
    assert summary["blessed"] and is_blessed(blessing)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("constant", "hit_rate@5 is 0.0000, but at least 0.15 is required"),
        ("nan", "hit_rate@5 is 0.0000, but at least 0.15 is required"),
        ("infinite", "against the live model"),
        ("half_nan", "against the live model"),
        ("random", "x popularity"),
        ("shifted", "x popularity"),
        ("popular", "is 1.0x popularity"),
    ],
)
def test_a_broken_model_is_refused_with_the_reason(world, model, reason):
    summary, blessing = world.evaluate(model, world.model("good"))
    assert not summary["blessed"] and not is_blessed(blessing)
    failed = sum(not threshold["passed"] for threshold in summary["thresholds"])
    # Failed thresholds come first.
    assert any(reason in text for text in summary["reasons"][:failed])
    assert all(", but at least" in text for text in summary["reasons"][:failed])
    assert not any("but" in text for text in summary["reasons"][failed:])
    assert reasons_in_the_report(summary) == summary["reasons"]


def test_a_model_that_was_trained_on_the_eval_split_is_refused(world):
    """It is by far the best model, and meets every other threshold."""
    summary, blessing = world.evaluate("leaking", world.model("good"))
    assert summary["candidate"]["mrr"] > 0.9
    assert all(threshold["passed"] for threshold in summary["thresholds"])
    assert not is_blessed(blessing) and not summary["blessed"]
    assert summary["held_out_events_trained_on"] == len(HELD_OUT)
    assert (
        f"{len(HELD_OUT)} of the held-out events are among those"
        in summary["reasons"][0]
    )
    assert reasons_in_the_report(summary) == summary["reasons"]


def test_a_live_model_that_was_trained_on_the_eval_split_is_named(world):
    summary, _ = world.evaluate("good", world.model("leaking"))
    reason = f"was trained on {len(HELD_OUT)} of the held-out events"
    assert reason in summary["reasons"][-1]


def test_a_model_whose_index_loses_too_many_movies_is_refused(world):
    """Its ranking is as good as that of the live model: only serving loses movies."""
    live = world.model("exact by nature")  # from before indices could be approximate
    summary, blessing = world.evaluate("lossy", live)
    assert not summary["blessed"] and not is_blessed(blessing)
    assert summary["reasons"][0] == (
        "index_recall is 0.9375, but at least 0.95 is required"
    )
    assert reasons_in_the_report(summary) == summary["reasons"]
    assert summary["candidate"]["index_recall"] == 0.9375
    assert summary["baseline"]["index_recall"] == 1.0
    assert summary["live_gain"]["index_recall"] == -0.0625
    assert "index_recall" not in summary["popularity"]


def test_how_much_an_index_may_lose_is_configurable(world):
    config = EvalConfig(**{**vars(CONFIG), "min_index_recall": 0.9})
    summary, blessing = world.evaluate("lossy", config=config)
    assert is_blessed(blessing)
    assert "index_recall is 0.9375, at least 0.9 is required" in summary["reasons"]


def test_thresholds_hold_for_the_slices_that_they_name(world):
    strict = SliceThresholds(floors={"mrr": 0.99}, min_lift={"ndcg@10": 1.0})
    config = EvalConfig(
        **{**vars(CONFIG), "slice_thresholds": {"activity=000-019": strict}}
    )
    summary, blessing = world.evaluate("good", config=config)
    assert not is_blessed(blessing)
    checked = [item for item in summary["thresholds"] if item["slice"]]
    assert {item["slice"] for item in checked} == {"activity=000-019"}
    assert [item["passed"] for item in checked] == [False, True]
    assert summary["reasons"][0].startswith("activity=000-019 (20 users): mrr is 0.1")


def test_a_threshold_on_a_slice_without_queries_is_not_met(world):
    some = SliceThresholds(min_lift={"ndcg@10": 1.0})
    config = EvalConfig(
        **{**vars(CONFIG), "slice_thresholds": {"activity=100-199": some}}
    )
    summary, blessing = world.evaluate("good", config=config)
    assert not is_blessed(blessing)
    assert summary["reasons"][0] == (
        "no query belongs to the slice activity=100-199, but it has a threshold"
    )


def test_every_number_has_its_interval_which_is_wider_in_a_slice(world):
    summary, _ = world.evaluate("good", world.model("older"))
    for part in (summary, *summary["slices"]):
        for group, intervals in part["intervals"].items():
            for metric, (low, high) in intervals.items():
                value = part[group][metric]
                assert value is None or low is None or low <= value <= high
    few, many, _ = summary["slices"]
    assert few["queries"] == 20 and many["queries"] == 39
    low, high = few["intervals"]["candidate"]["hit_rate@10"]
    assert high - low > 0.38


def test_the_live_model_is_measured_on_the_same_rows(world):
    summary, blessing = world.evaluate("good", world.model("good"))
    assert summary["baseline"] == summary["candidate"]
    assert is_blessed(blessing)
    assert any("is +0.0000 against the live model" in r for r in summary["reasons"])


def test_a_better_model_replaces_a_live_one_of_another_vocabulary(world):
    _, blessing = world.evaluate("good", world.model("older"))
    assert is_blessed(blessing)


def test_a_first_model_is_evaluated_without_a_live_one(world):
    no_model = standard_artifacts.Model()
    no_model.uri = "/nowhere"
    no_model.set_int_custom_property("exists", 0)
    summary, blessing = world.evaluate("good", no_model)
    assert summary["baseline"] is None
    assert "there is no live model to compare with" in summary["reasons"]
    assert is_blessed(blessing)


def test_an_empty_eval_split_is_never_blessed(world):
    summary, blessing = world.evaluate("good", rows="none")
    assert not is_blessed(blessing)
    assert summary["queries"] == 0
    assert summary["reasons"][0].startswith("no eval query has a held-out movie")
    assert not any(threshold["passed"] for threshold in summary["thresholds"])


@pytest.mark.parametrize("name", ["mood", "num_ratings"])  # the latter of a movie
def test_the_error_names_a_slice_that_is_not_a_feature_of_eval_rows(world, name):
    config = EvalConfig(**{**vars(CONFIG), "slices": (name,)})
    with pytest.raises(UserError, match=f"{name}.* Use some of "):
        world.evaluate("good", config=config)


def test_a_slice_on_a_feature_without_values_is_empty(world):
    config = EvalConfig(**{**vars(CONFIG), "slices": ("activity", "gender")})
    summary, blessing = world.evaluate("good", config=config)
    assert [list(part["features"]) for part in summary["slices"]] == [["activity"]] * 3
    assert is_blessed(blessing)
