"""Who is blessed, and the reasons that are given."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import tensorflow as tf
from tfx.types import artifact, standard_artifacts

from pipeline.config import EvalConfig
from pipeline.errors import UserError
from pipeline.eval_config import SliceThresholds
from tests.fixtures.eval_world import CONFIG, HELD_OUT, World

pytestmark = pytest.mark.slow


def is_blessed(blessing: artifact.Artifact) -> bool:
    """Reads the blessing both ways; they must agree."""
    files = [path.name for path in Path(blessing.uri).iterdir()]
    assert files == [
        "BLESSED" if blessing.get_int_custom_property("blessed") else "NOT_BLESSED"
    ]
    return files == ["BLESSED"]


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
    # What failed is said first, then what passed.
    assert any(reason in text for text in summary["reasons"][:failed])
    assert all(", but at least" in text for text in summary["reasons"][:failed])
    assert not any("but" in text for text in summary["reasons"][failed:])


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


def test_a_live_model_that_was_trained_on_the_eval_split_is_named(world):
    summary, _ = world.evaluate("good", world.model("leaking"))
    reason = f"was trained on {len(HELD_OUT)} of the held-out events"
    assert reason in summary["reasons"][-1]


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


def test_a_threshold_on_a_slice_that_nobody_belongs_to_is_not_met(world):
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


def test_a_first_model_is_judged_without_a_live_one(world):
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


def _copy(world: World, name: str, folder: Path) -> artifact.Artifact:
    model = standard_artifacts.Model()
    model.uri = str(folder)
    shutil.copytree(world.model(name).uri, folder, dirs_exist_ok=True)
    model.set_int_custom_property("exists", 1)
    model.set_string_custom_property("source", "serving/7")
    return model


def _remove_pb(model: Path) -> None:
    (model / "saved_model.pb").unlink()


def _damage_pb(model: Path) -> None:
    (model / "saved_model.pb").write_bytes(b"\xff" * 50)


def _damage_variables(model: Path) -> None:
    (model / "variables" / "variables.index").write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (_remove_pb, "it has no saved_model.pb"),
        (_damage_pb, "its saved_model.pb is damaged"),
        (_damage_variables, "Error: "),
    ],
)
def test_a_damaged_live_model_ends_the_run(world, tmp_path, damage, fault):
    live = _copy(world, "good", tmp_path)
    damage(tmp_path / "Format-Serving")
    with pytest.raises(UserError) as caught:
        world.evaluate("good", live)
    assert str(caught.value).startswith(
        "The live model serving/7 cannot be evaluated: "
    )
    assert fault in caught.value.message
    assert "eval.ignore_broken_live_model=true" in caught.value.remedy


def test_a_damaged_live_model_is_ignored_on_request(world, tmp_path):
    live = _copy(world, "good", tmp_path)
    _remove_pb(tmp_path / "Format-Serving")
    config = EvalConfig(**{**vars(CONFIG), "ignore_broken_live_model": True})
    summary, blessing = world.evaluate("good", live, config)
    assert is_blessed(blessing)
    assert any(r.startswith("the live model was ignored: ") for r in summary["reasons"])


def test_a_candidate_without_the_signature_is_named(world, tmp_path):
    broken = _copy(world, "good", tmp_path)
    _remove_pb(tmp_path / "Format-Serving")
    with pytest.raises(UserError, match="trained model .* has no saved_model.pb"):
        world.evaluate(broken)


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_a_live_model_that_ranked_seen_movies_is_not_compared(
    world, tmp_path, exclude_seen
):
    live = _copy(world, "good", tmp_path)
    candidate = world.model("good")
    for uri, value in ((live.uri, exclude_seen), (candidate.uri, True)):
        extra = Path(uri, "Format-Serving", "assets.extra")
        extra.mkdir(exist_ok=True)
        info = {"exclude_seen": value}
        (extra / "model_info.json").write_text(json.dumps(info))
    if exclude_seen:
        _, blessing = world.evaluate("good", live)
        assert is_blessed(blessing)
        return
    with pytest.raises(UserError, match="exclude_seen=false and the candidate with tr"):
        world.evaluate("good", live)


def test_a_live_model_without_the_signature_is_named(world, tmp_path):
    live = _copy(world, "good", tmp_path)
    model = tf.Module()
    model.other = tf.function(
        lambda x: {"y": x}, input_signature=[tf.TensorSpec([None], tf.string)]
    )
    path = f"{live.uri}/Format-Serving"
    shutil.rmtree(path)
    tf.saved_model.save(model, path, signatures={"serving_default": model.other})
    with pytest.raises(
        UserError, match="no signature 'evaluate', only serving_default"
    ):
        world.evaluate("good", live)


@pytest.mark.parametrize("name", ["mood", "num_ratings"])  # the latter of a movie
def test_a_slice_that_is_no_feature_of_a_query_is_named(world, name):
    config = EvalConfig(**{**vars(CONFIG), "slices": (name,)})
    with pytest.raises(UserError, match=f"{name}.* Use some of "):
        world.evaluate("good", config=config)


def test_a_slice_that_the_edition_lacks_is_empty(world):
    config = EvalConfig(**{**vars(CONFIG), "slices": ("activity", "gender")})
    summary, blessing = world.evaluate("good", config=config)
    assert [list(part["features"]) for part in summary["slices"]] == [["activity"]] * 3
    assert is_blessed(blessing)
