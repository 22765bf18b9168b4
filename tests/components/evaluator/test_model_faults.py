"""Models that cannot be evaluated or compared."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import tensorflow as tf
from tfx.types import artifact, standard_artifacts

from components.evaluator.config import EvalConfig
from components.evaluator.model_faults import ranking_fault
from tests.fixtures.eval_bench import is_blessed
from tests.fixtures.eval_world import CONFIG, World
from trainer.errors import UserError
from trainer.serving_contract import MODEL_INFO_FILE

pytestmark = pytest.mark.slow


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


@pytest.mark.parametrize("role", ["live", "trained"])
def test_a_model_without_the_signature_is_named(world, tmp_path, role):
    other = _copy(world, "good", tmp_path)
    model = tf.Module()
    model.other = tf.function(
        lambda x: {"y": x}, input_signature=[tf.TensorSpec([None], tf.string)]
    )
    path = f"{other.uri}/Format-Serving"
    shutil.rmtree(path)
    tf.saved_model.save(model, path, signatures={"serving_default": model.other})
    fault = "no function 'evaluate', only the signatures serving_default"
    with pytest.raises(UserError, match=f"The {role} model .* {fault}"):
        world.evaluate(*(("good", other) if role == "live" else (other,)))


@pytest.mark.parametrize("content", ["[]", "null", "7", '"text"', "{}", "{", "\0"])
def test_a_description_that_is_damaged_says_nothing_of_seen_movies(tmp_path, content):
    for name in ("live", "candidate"):
        path = tmp_path / name / MODEL_INFO_FILE
        path.parent.mkdir(parents=True)
        path.write_text(content)
    assert ranking_fault(f"{tmp_path}/live", f"{tmp_path}/candidate") is None
