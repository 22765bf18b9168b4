"""Which served model training starts from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from components.pusher.push_version import push_version
from components.serving_directory import PUSH_FILE, live_version
from components.serving_directory.label_file import LabelFile, write_file
from components.warm_start.base import COPY_FOLDER, find_base
from tests.fixtures.served_versions import make_model
from trainer.base_model import DATA_FINGERPRINT, LAST_TIMESTAMP, WEIGHTS, Data, Start
from trainer.errors import UserError
from trainer.model_identity import model_id
from trainer.serving_contract import MODEL_INFO_FILE


class World:
    """A serving directory, and what runs copied out of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.serving = root / "serving"
        self.copies = root / "WarmStart" / "base_model"

    def base(self, day: int, data: str = "") -> tuple[str, str]:
        """Version and reason for a run on the data up to a day."""
        found = find_base(
            str(self.serving), Data(data or f"day {day}", day), str(self.copies)
        )
        return found.version, found.note

    def push(self, name: str, day: int) -> str:
        """Pushes a model that was trained on the data up to a day, as Pusher does."""
        model = make_model(self.root / name, name)
        live = live_version(str(self.serving))
        push = dict.fromkeys(("compared_with", "replaced", "replaced_model_id"))
        push |= {"pushed_at": "", "run_id": "", "model_id": model_id(str(model))}
        if live:
            push["replaced"] = live
            push["replaced_model_id"] = model_id(str(self.serving / live))
        (model / PUSH_FILE).parent.mkdir()
        (model / PUSH_FILE).write_text(json.dumps(push))
        info = {DATA_FINGERPRINT: f"day {day}", LAST_TIMESTAMP: day, WEIGHTS: []}
        (model / MODEL_INFO_FILE).write_text(json.dumps(info))
        return Path(push_version(str(model), str(self.serving))).name


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_first_run_is_a_cold_start(world: World) -> None:
    assert world.base(1) == ("", "nothing is live")


def test_new_data_starts_from_the_live_model_whatever_is_pushed_of_it(
    world: World,
) -> None:
    monday = world.push("a", 1)
    assert world.base(2) == (monday, "")
    tuesday = world.push("b", 2)
    # Repeated, and with another setting whose model was pushed too.
    assert world.base(2) == (monday, "")
    world.push("c", 2)
    assert world.base(2) == (monday, "")
    assert world.base(3)[0] > tuesday


def test_training_starts_from_the_live_model_and_from_no_canary(world: World) -> None:
    monday = world.push("a", 1)
    write_file(str(world.serving), LabelFile(monday, world.push("b", 2)))
    assert world.base(3) == (monday, "")


def test_a_rerun_of_the_first_data_is_a_cold_start_again(world: World) -> None:
    world.push("a", 1)
    version, note = world.base(1)
    assert (version, note) == ("", "no version was trained on older data")


def test_a_model_that_was_taken_away_is_no_base(world: World) -> None:
    monday = world.push("a", 1)
    tuesday = world.push("b", 2)
    shutil.move(world.serving / tuesday, world.root / "saved")
    assert world.base(3) == (monday, "")
    assert world.base(2) == (monday, "")
    shutil.move(world.root / "saved", world.serving / tuesday)
    assert world.base(3) == (tuesday, "")


def test_a_base_that_is_gone_is_found_among_the_copies_of_earlier_runs(
    world: World,
) -> None:
    monday = world.push("a", 1)
    identity = model_id(str(world.serving / monday))
    world.push("b", 2)
    shutil.rmtree(world.serving / monday)
    version, note = world.base(2)
    assert (
        version == ""
        and f"version {monday}, which was trained on older data, is gone" in note
    )
    copy = world.copies / "3" / COPY_FOLDER
    copy.mkdir(parents=True)
    Start("warm start", monday, identity).save(str(copy))
    assert world.base(2) == (monday, "")


def test_older_data_do_not_start_from_a_model_that_has_seen_newer(
    world: World,
) -> None:
    monday = world.push("a", 1)
    tuesday = world.push("b", 2)
    world.push("c", 3)
    assert world.base(2) == (monday, "")
    # Rewritten, they are other data that end at the same time.
    assert world.base(2, "rewritten") == (tuesday, "")


def test_models_of_other_code_are_passed_over(world: World) -> None:
    make_model(world.serving / "7", "foreign")
    assert world.base(1) == (
        "",
        "the live model, version 7, was exported by other code",
    )
    monday = world.push("a", 1)
    make_model(world.serving / "9000000000", "mistake")
    assert world.base(2) == (monday, "")
    world.push("b", 2)
    assert world.base(2) == (monday, "")


def test_a_damaged_description_is_that_of_other_code(world: World) -> None:
    monday = world.push("a", 1)
    (world.serving / monday / MODEL_INFO_FILE).write_text("{")
    assert "was exported by other code" in world.base(2)[1]


def test_a_serving_directory_that_cannot_be_read_is_no_cold_start(
    world: World,
) -> None:
    world.serving.write_text("a file")
    with pytest.raises(UserError, match="cannot be read"):
        world.base(1)
