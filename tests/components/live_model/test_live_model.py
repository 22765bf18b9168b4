"""LiveModel with other models, the candidate itself, and none."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from tfx import types
from tfx.types import standard_artifacts
from tfx.utils import io_utils

from components.evaluator.component import RetrievalEvaluator
from components.live_driver import LIVE
from components.live_model.baseline import find_baseline
from components.live_model.component import Executor, LiveModel
from components.pusher.push_version import push_version
from components.serving_directory import PUSH_FILE, live_version
from components.serving_directory.label_file import LabelFile, write_file
from pipeline.config import EvalConfig
from tests.fixtures.served_versions import make_model
from trainer.errors import UserError
from trainer.model_identity import model_id

SHARD = "variables.data-00000-of-00001"


@dataclass
class World:
    """A serving directory, and candidates for it.

    Attributes:
      root: Folder of everything.
    """

    root: Path

    @property
    def serving(self) -> Path:
        return self.root / "serving"

    def candidate(self, content: str) -> Path:
        """The artifact with the model of this content."""
        folder = self.root / "candidates" / content
        if not folder.exists():
            make_model(folder / "Format-Serving", content)
        return folder

    def push(self, content: str) -> Path:
        """Pushes a candidate as Pusher does."""
        model = self.candidate(content) / "Format-Serving"
        live = live_version(str(self.serving))
        push = dict.fromkeys(("compared_with", "replaced", "replaced_model_id"))
        push |= {"pushed_at": "", "run_id": "", "model_id": model_id(str(model))}
        if live:
            push["replaced"] = live
            push["replaced_model_id"] = model_id(str(self.serving / live))
        (model / PUSH_FILE).parent.mkdir(exist_ok=True)
        (model / PUSH_FILE).write_text(json.dumps(push))
        return Path(push_version(str(model), str(self.serving)))

    def key(self, content: str) -> str:
        """The part of the cache key that says what is live."""
        model = self.candidate(content) / "Format-Serving"
        copies = str(self.root / "LiveModel" / "model")
        return find_baseline(str(self.serving), str(model), copies).key

    def run(self, content: str, number: int = 1, live: str = "") -> types.Artifact:
        """Runs the step."""
        candidate, model = standard_artifacts.Model(), standard_artifacts.Model()
        candidate.uri = str(self.candidate(content))
        model.uri = str(self.root / "LiveModel" / "model" / str(number))
        Path(model.uri).mkdir(parents=True)
        properties = {"serving_dir": str(self.serving), LIVE: live}
        Executor().Do({"candidate": [candidate]}, {"model": [model]}, properties)
        return model


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_without_a_version_the_model_is_empty_and_marked_so(world: World) -> None:
    model = world.run("new")
    assert model.get_int_custom_property("exists") == 0
    assert model.get_string_custom_property("version") == ""
    assert [path.name for path in Path(model.uri).iterdir()] == ["NO_LIVE_MODEL"]


def test_the_copy_outlives_the_served_version(world: World) -> None:
    make_model(world.serving / "3", "old")
    model = world.run("new")
    shutil.rmtree(world.serving)
    copy = Path(model.uri) / "Format-Serving"
    assert (copy / "variables" / SHARD).read_text() == "old"
    assert model.get_int_custom_property("exists") == 1
    assert model.get_string_custom_property("version") == "3"
    assert model.get_string_custom_property("source") == str(world.serving / "3")


def test_a_candidate_is_compared_with_the_stable_version_also_as_the_canary(
    world: World,
) -> None:
    live = world.push("first").name
    key = world.key("candidate")
    canary = world.push("candidate").name
    write_file(str(world.serving), LabelFile(live, canary))
    assert world.key("candidate") == key
    write_file(str(world.serving), LabelFile(canary))
    assert world.key("candidate") == key, "promoted, too"


@pytest.mark.parametrize("before", [[], ["first"], ["first", "second"]])
def test_once_the_candidate_is_live_the_key_is_that_of_before(
    world: World, before: list[str]
) -> None:
    for content in before:
        world.push(content)
    key = world.key("candidate")
    pushed = world.push("candidate")
    assert world.key("candidate") == key
    # Taken away by hand: the version before is live, as it was.
    shutil.rmtree(pushed)
    assert world.key("candidate") == key


def test_every_change_of_what_is_live_changes_the_key(world: World) -> None:
    first = world.push("first")
    keys = [world.key("new")]
    bad = make_model(world.serving / "9000000000", "bad")
    keys.append(world.key("new"))
    bad = bad.rename(world.serving / "9000000001")
    keys.append(world.key("new"))  # else an error would name a folder that is gone
    (bad / "variables" / SHARD).write_text("other")  # in place
    keys.append(world.key("new"))
    shutil.rmtree(bad)
    assert world.key("new") == keys[0]
    saved = shutil.copytree(first, world.root / "saved")
    shutil.rmtree(world.serving)
    keys.append(world.key("new"))
    assert len(set(keys)) == len(keys)
    shutil.copytree(saved, first)  # from a backup
    assert world.key("new") == keys[0]


def test_what_only_describes_a_model_does_not_change_the_key(world: World) -> None:
    first = world.push("first")
    key = world.key("new")
    (first / "assets.extra" / "tf_serving_warmup_requests").write_text("requests")
    assert world.key("new") == key


def test_the_version_that_the_live_candidate_replaced_is_copied(world: World) -> None:
    world.push("first")
    world.push("new")
    model = world.run("new")
    copy = Path(model.uri) / "Format-Serving" / "variables" / SHARD
    assert copy.read_text() == "first"


def test_a_replaced_version_that_is_gone_comes_from_an_earlier_copy(
    world: World,
) -> None:
    first = world.push("first")
    key = world.key("new")
    world.run("new", 1, key)
    world.push("new")
    shutil.rmtree(first)
    assert world.key("new") == key
    model = world.run("new", 2, key)
    copy = Path(model.uri) / "Format-Serving" / "variables" / SHARD
    assert copy.read_text() == "first"


def test_without_the_replaced_model_anywhere_the_reason_is_noted(world: World) -> None:
    first = world.push("first")
    key = world.key("new")
    pushed = world.push("new")
    shutil.rmtree(first)
    assert world.key("new") != key  # else what is found now would count for then
    model = world.run("new")
    assert model.get_int_custom_property("exists") == 0
    note = model.get_string_custom_property("note")
    assert f"the candidate is itself live, as version {pushed.name}" in note


def test_a_live_candidate_that_another_program_copied_is_seen_to_be_it(
    world: World,
) -> None:
    shutil.copytree(world.candidate("new") / "Format-Serving", world.serving / "4")
    model = world.run("new")
    note = model.get_string_custom_property("note")
    assert "the candidate is itself live, as version 4" in note


def test_a_live_candidate_that_replaced_nothing_says_so(world: World) -> None:
    """On Kubeflow, where the step runs again although nothing has changed."""
    pushed = world.push("new")
    model = world.run("new")
    assert model.get_int_custom_property("exists") == 0
    note = model.get_string_custom_property("note")
    assert f"the candidate is itself live, as version {pushed.name}" in note


def test_a_change_between_driver_and_step_ends_the_step(world: World) -> None:
    key = world.key("new")
    world.push("first")
    with pytest.raises(UserError, match="changed while it was read"):
        world.run("new", 1, key)


def test_a_model_that_is_replaced_while_it_is_copied_ends_the_step(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = world.push("first")
    copy_dir = io_utils.copy_dir

    def replace_and_copy(source: str, target: str) -> None:
        (served / "variables" / SHARD).write_text("of another model")
        copy_dir(source, target)

    monkeypatch.setattr(io_utils, "copy_dir", replace_and_copy)
    with pytest.raises(UserError, match="changed while it was read"):
        world.run("new")


def test_the_nodes_fit_together() -> None:
    model = types.Channel(type=standard_artifacts.Model)
    live = LiveModel(candidate=model, serving_dir="serving")
    evaluator = RetrievalEvaluator(
        examples=types.Channel(type=standard_artifacts.Examples),
        model=model,
        baseline_model=live.outputs["model"],
        schema=types.Channel(type=standard_artifacts.Schema),
        eval_config=EvalConfig(),
    )
    assert (live.id, evaluator.id) == ("LiveModel", "Evaluator")
    assert set(evaluator.outputs) == {"evaluation", "blessing"}
    assert live.exec_properties == {"serving_dir": "serving"}
