"""RetrievalPusher with a real SavedModel and its warm-up requests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx.types import artifact, artifact_utils, standard_artifacts
from tfx.utils import path_utils

from components import live_model
from components.pusher import AWAITING_APPROVAL
from components.pusher.approval import approve
from components.pusher.executor import Executor as Pusher
from components.pusher.push_version import abandoned, push_version
from components.servability_check.queries import read_queries
from components.servability_check.warmup import write_warmup
from components.serving_directory import (
    PUSH_FILE,
    REFERENCE_FILE,
    STATISTICS_FILE,
    audit,
    complete_versions,
    labels,
    live_version,
)
from components.serving_directory.withdrawal import roll_back
from tests.fixtures.example_rows import sound_rows, write_examples
from tests.fixtures.served_versions import make_model
from tests.fixtures.tiny_model import save_tiny_model
from trainer.errors import UserError
from trainer.features import SPLITS
from trainer.model_identity import model_id

Statistics = statistics_pb2.DatasetFeatureStatisticsList


_RECORDS = (".audit.jsonl", ".labels.json", ".lock", ".pushed")
_CONFIGS = ("models.canary.config", "models.config", "models.stable.config")


@pytest.fixture(scope="module")
def blessing(tmp_path_factory: pytest.TempPathFactory) -> artifact.Artifact:
    """An infra blessing as ServabilityCheck leaves it."""
    folder = tmp_path_factory.mktemp("blessed")
    blessing = standard_artifacts.InfraBlessing()
    blessing.uri = str(folder / "blessing")
    blessing.set_int_custom_property("blessed", 1)
    blessing.set_int_custom_property("has_model", 1)
    path = path_utils.stamped_model_path(blessing.uri)
    save_tiny_model(path)
    examples = write_examples(folder / "examples", sound_rows())
    write_warmup(path, read_queries(examples, 3), count=1, k=5)
    return blessing


def _push(
    folder: Path,
    infra_blessing: artifact.Artifact,
    *,
    model_blessed: bool = True,
    again: str = "",
    data: str = "",
    approval: str = "",
    rollout: str = "",
    compared_with: tuple[str, str] | None = None,
) -> artifact.Artifact:
    """Runs the pusher's executor and returns the pushed model.

    Args:
      folder: New folder beside `serving`.
      infra_blessing: With the model.
      model_blessed: Whether the evaluation blessed it.
      again: `push_again`.
      data: Makes the statistics others.
      approval: Of `ApprovalConfig`; empty for none, as automatic.
      rollout: JSON of a `RolloutConfig`; empty for none.
      compared_with: Version and identity that LiveModel found; None for what is live
        now.
    """
    statistics = standard_artifacts.ExampleStatistics()
    statistics.uri = str(folder / "statistics")
    statistics.split_names = artifact_utils.encode_split_names(list(SPLITS))
    for split in SPLITS:
        (folder / "statistics" / f"Split-{split}").mkdir(parents=True)
        path = folder / "statistics" / f"Split-{split}" / "FeatureStats.pb"
        path.write_bytes(_statistics(split + data).SerializeToString())
    model_blessing = standard_artifacts.ModelBlessing()
    model_blessing.set_int_custom_property("blessed", int(model_blessed))
    pushed = standard_artifacts.PushedModel()
    pushed.uri = str(folder / "pushed")
    serving = str(folder.parent / "serving")
    destination = {"filesystem": {"base_directory": serving}}
    Pusher().Do(
        {
            "model_blessing": [model_blessing],
            "infra_blessing": [infra_blessing],
            "statistics": [statistics],
            "live_model": [_live_model(*(compared_with or _live(serving)))],
        },
        {"pushed_model": [pushed]},
        {
            "push_destination": json.dumps(destination),
            "push_again": again,
            **({"approval": approval} if approval else {}),
            **({"rollout": rollout} if rollout else {}),
        },
    )
    return pushed


def _live(serving: str) -> tuple[str, str]:
    """Version and identity of the live model; empty for none."""
    version = live_version(serving)
    return (version, model_id(os.path.join(serving, version))) if version else ("", "")


def _live_model(version: str, identity: str) -> artifact.Artifact:
    """What LiveModel says of a version."""
    found = standard_artifacts.Model()
    found.set_string_custom_property(live_model.VERSION, version)
    found.set_string_custom_property(live_model.MODEL_ID, identity)
    return found


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> artifact.Artifact:
    """An infra blessing of another model."""
    blessing = standard_artifacts.InfraBlessing()
    blessing.uri = str(tmp_path_factory.mktemp("other") / "blessing")
    blessing.set_int_custom_property("blessed", 1)
    blessing.set_int_custom_property("has_model", 1)
    make_model(Path(path_utils.stamped_model_path(blessing.uri)), "another model")
    return blessing


def _version(pushed: artifact.Artifact) -> str:
    assert pushed.get_int_custom_property("pushed") == 1
    return str(pushed.get_string_custom_property("pushed_version"))


def test_two_pushes_within_a_second_are_two_complete_versions(
    tmp_path: Path, blessing: artifact.Artifact, other: artifact.Artifact
) -> None:
    before = int(time.time())
    models = {"a": blessing, "b": other}
    pushed = [_push(tmp_path / name, model) for name, model in models.items()]
    versions = [int(_version(each)) for each in pushed]
    assert before <= versions[0] < versions[1] <= time.time() + 1
    # Nothing but the versions and their record is left, so nothing half-written either.
    serving = tmp_path / "serving"
    names = [*_RECORDS, *map(str, versions), *_CONFIGS]
    assert sorted(path.name for path in serving.iterdir()) == names
    for each, model in zip(pushed, models.values(), strict=True):
        path = Path(each.get_string_custom_property("pushed_destination"))
        source = Path(path_utils.stamped_model_path(model.uri))
        for copy in (path, Path(each.uri)):
            contents = _contents(copy)
            stored = contents.pop(STATISTICS_FILE)
            del contents[PUSH_FILE]
            assert contents == _contents(source)
            assert Statistics.FromString(stored) == _statistics("train")
    first = Path(pushed[0].get_string_custom_property("pushed_destination"))
    assert "assets.extra/tf_serving_warmup_requests" in _contents(first)
    assert (first / "assets").is_dir()


def test_a_version_says_what_it_is_and_what_it_replaced(
    tmp_path: Path, blessing: artifact.Artifact, other: artifact.Artifact
) -> None:
    first = _version(_push(tmp_path / "a", blessing, data="1"))
    second = _version(_push(tmp_path / "b", other, data="2"))
    serving = tmp_path / "serving"
    pushes = [
        json.loads((serving / v / PUSH_FILE).read_text()) for v in (first, second)
    ]
    assert pushes[0]["replaced"] is None and pushes[0]["compared_with"] is None
    assert pushes[1]["replaced"] == pushes[1]["compared_with"] == first
    assert pushes[1]["replaced_model_id"] == pushes[0]["model_id"]
    assert pushes[0]["model_id"] == model_id(str(serving / first))
    reference = (serving / second / REFERENCE_FILE).read_bytes()
    assert reference == (serving / first / STATISTICS_FILE).read_bytes()
    entry = json.loads(
        (serving / ".pushed" / f"{pushes[1]['model_id']}.json").read_text()
    )
    assert entry == {"version": second, **pushes[1]}


def test_the_same_data_is_compared_with_what_it_was_compared_with_before(
    tmp_path: Path, blessing: artifact.Artifact, other: artifact.Artifact
) -> None:
    first = _version(_push(tmp_path / "a", blessing))
    second = _version(_push(tmp_path / "b", other))
    push = json.loads((tmp_path / "serving" / second / PUSH_FILE).read_text())
    assert (push["replaced"], push["compared_with"]) == (first, None)


def test_a_canary_is_pushed_beside_the_live_version_and_only_once(
    tmp_path: Path, blessing: artifact.Artifact, other: artifact.Artifact
) -> None:
    serving, how = str(tmp_path / "serving"), '{"rollout": "canary"}'
    first = _version(_push(tmp_path / "a", blessing, rollout=how))
    pushed = _push(tmp_path / "b", other, rollout=how)
    canary = _version(pushed)
    assert labels.read(serving) == labels.Labels(first, canary, exist=True)
    assert pushed.get_string_custom_property("label") == "canary"
    assert _version(_push(tmp_path / "c", other, rollout=how)) == canary
    assert live_version(serving) == first
    lines = [(line["label"], line["to"]) for line in audit.read(serving)]
    assert lines == [("stable", first), ("canary", first)]


def test_a_model_that_is_served_is_not_pushed_twice(
    tmp_path: Path, blessing: artifact.Artifact
) -> None:
    """As after a kill between the push and TFX's record of it."""
    first = _version(_push(tmp_path / "a", blessing))
    shutil.rmtree(tmp_path / "serving" / ".pushed")
    for name, again in (("b", ""), ("c", "run c")):
        assert _version(_push(tmp_path / name, blessing, again=again)) == first
    names = [*_RECORDS, first, *_CONFIGS]
    assert sorted(p.name for p in (tmp_path / "serving").iterdir()) == names
    # And the record is complete again.
    shutil.rmtree(tmp_path / "serving" / first)
    assert not _push(tmp_path / "d", blessing).get_int_custom_property("pushed")


def test_a_model_that_was_taken_away_is_pushed_again_only_on_request(
    tmp_path: Path,
    blessing: artifact.Artifact,
    other: artifact.Artifact,
    caplog: pytest.LogCaptureFixture,
) -> None:
    serving = tmp_path / "serving"
    first = _version(_push(tmp_path / "a", other))
    second = _version(_push(tmp_path / "b", blessing))
    shutil.rmtree(serving / second)
    refused = _push(tmp_path / "c", blessing)
    assert refused.get_int_custom_property("pushed") == 0
    assert "two-tower run --push-again" in caplog.text
    assert live_version(str(serving)) == first
    third = _version(_push(tmp_path / "d", blessing, again="run d"))
    assert live_version(str(serving)) == third
    # A model that is served, but not live, is pushed anew on request.
    assert _version(_push(tmp_path / "e", other)) == first
    fourth = _version(_push(tmp_path / "f", other, again="run f"))
    assert live_version(str(serving)) == fourth
    # And where nothing is served at all.
    for version in (first, third, fourth):
        shutil.rmtree(serving / version)
    fifth = _version(_push(tmp_path / "g", other, again="run g"))
    assert live_version(str(serving)) == fifth


def test_with_manual_approval_the_model_is_left_and_pushed_later(
    tmp_path: Path, blessing: artifact.Artifact, other: artifact.Artifact
) -> None:
    serving = str(tmp_path / "serving")
    first = _version(_push(tmp_path / "a", other, approval="automatic"))
    left = _push(tmp_path / "b", blessing, approval="manual")
    assert left.get_int_custom_property("pushed") == 0
    assert left.get_int_custom_property(AWAITING_APPROVAL) == 1
    assert live_version(serving) == first
    done = approve(left.uri, serving)
    assert _contents(tmp_path / "serving" / done.version) == _contents(Path(left.uri))
    # An unchanged run finds it served, and needs no second approval.
    again = _push(tmp_path / "c", blessing, approval="manual")
    assert _version(again) == done.version
    assert not again.get_int_custom_property(AWAITING_APPROVAL)
    refused = _push(tmp_path / "d", other, model_blessed=False, approval="manual")
    assert not refused.get_int_custom_property(AWAITING_APPROVAL)


def test_a_model_is_not_pushed_over_another_than_it_was_compared_with(
    tmp_path: Path, blessing: artifact.Artifact, other: artifact.Artifact
) -> None:
    serving = tmp_path / "serving"
    first = make_model(serving / "7", "first").name
    second = _version(_push(tmp_path / "a", other))
    found = _live(str(serving))
    roll_back(str(serving))  # while the next candidate is compared with the second
    for name, approval in (("b", ""), ("c", "manual")):
        with pytest.raises(UserError, match=f"version {second} was live .* {first} is"):
            _push(tmp_path / name, blessing, approval=approval, compared_with=found)
    assert complete_versions(str(serving)) == [first]
    assert _version(_push(tmp_path / "d", blessing)) == live_version(str(serving))


def test_a_version_that_was_replaced_in_place_is_not_the_model_any_more(
    tmp_path: Path, blessing: artifact.Artifact
) -> None:
    first = tmp_path / "serving" / _version(_push(tmp_path / "a", blessing))
    with (first / "variables" / "variables.data-00000-of-00001").open("a") as shard:
        shard.write("something else")
    assert _push(tmp_path / "b", blessing).get_int_custom_property("pushed") == 0


@pytest.mark.parametrize("again", ["", "run a"])
def test_a_record_that_cannot_be_read_ends_the_step_before_the_push(
    tmp_path: Path, blessing: artifact.Artifact, again: str
) -> None:
    serving = tmp_path / "serving"
    serving.mkdir()
    (serving / ".pushed").write_text("no folder")
    with pytest.raises(UserError, match=r"\.pushed.*cannot be read: Not a directory"):
        _push(tmp_path / "a", blessing, again=again)
    assert live_version(str(serving)) is None


def test_a_record_that_cannot_be_written_does_not_fail_a_push_that_is_visible(
    tmp_path: Path,
    blessing: artifact.Artifact,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(path: Path, content: bytes) -> None:
        if path.parent.name == ".pushed":
            raise OSError(28, os.strerror(28), str(path))
        path.write_bytes(content)

    monkeypatch.setattr("components.storage.write_bytes", fail)
    pushed = _push(tmp_path / "a", blessing)
    assert pushed.get_int_custom_property("pushed") == 1
    assert _version(pushed) == live_version(str(tmp_path / "serving"))
    assert "is served, but" in caplog.text and "No space left" in caplog.text


def _statistics(split: str) -> Statistics:
    """Statistics that differ between splits."""
    dataset = statistics_pb2.DatasetFeatureStatistics(name=split, num_examples=3)
    return Statistics(datasets=[dataset])


def _contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_version_from_the_future_is_exceeded(tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    serving = tmp_path / "serving"
    make_model(serving / "9999999999")
    (serving / "notes").mkdir()
    (serving / "10000000000").write_text("a file, so the name is taken")
    assert Path(push_version(str(model), str(serving))).name == "10000000001"
    make_model(serving / str(2**63 - 1))
    with pytest.raises(UserError, match="the largest that there can be"):
        push_version(str(model), str(serving))


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index"])
def test_a_failed_copy_leaves_no_version(tmp_path: Path, name: str) -> None:
    serving = tmp_path / "serving"
    model = make_model(tmp_path / "model")
    (model / name).unlink()
    (model / name).symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="cannot be copied"):
        push_version(str(model), str(serving))
    (model / name).unlink()
    with pytest.raises(UserError, match=f"not complete: it has no {name}"):
        push_version(str(model), str(serving))
    assert list(serving.iterdir()) == []


def test_a_serving_directory_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "serving").write_text("")
    model = make_model(tmp_path / "model")
    with pytest.raises(UserError, match=r"cannot be pushed to .*File exists"):
        push_version(str(model), str(tmp_path / "serving"))


def test_everything_is_on_the_disk_before_the_version_is_visible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(tmp_path / "model")
    calls: list[tuple[str, str]] = []

    def fsync(descriptor: int, real: Any = os.fsync) -> None:
        calls.append(("fsync", os.readlink(f"/proc/self/fd/{descriptor}")))
        real(descriptor)

    def rename(source: str, target: str, real: Any = os.rename) -> None:
        calls.append(("rename", str(source)))
        real(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    push_version(str(model), str(tmp_path / "serving"))
    [(_, staging)] = [call for call in calls if call[0] == "rename"]
    at = calls.index(("rename", staging))
    synced = {path for name, path in calls[:at] if name == "fsync"}
    paths = [model, *model.rglob("*")]
    assert synced == {str(Path(staging) / path.relative_to(model)) for path in paths}
    assert calls[at + 1 :] == [("fsync", str(tmp_path / "serving"))]


def test_in_an_object_store_the_model_file_comes_last(tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    names = ["saved_model.pb", PUSH_FILE]
    (model / "assets.extra").mkdir()
    (model / PUSH_FILE).write_text("{}")
    written: list[str] = []
    copy = tf.io.gfile.copy

    def record(source: str, target: str, overwrite: bool) -> None:
        written.append(os.path.relpath(source, model))
        copy(source, target, overwrite=overwrite)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf.io.gfile, "copy", record)
        first = push_version(str(model), "ram://pushed")
    assert (written[-1], written[0]) == tuple(names)
    second = push_version(str(model), "ram://pushed")
    assert int(second.rpartition("/")[2]) == int(first.rpartition("/")[2]) + 1
    assert live_version("ram://pushed") == second.rpartition("/")[2]


PUSH_AND_STOP = """
import os, sys, time
import components.pusher.push_version as pusher
def stop(path):
    print("copied", flush=True)
    time.sleep(60)
pusher.sync_tree = stop
pusher.push_version(sys.argv[1], sys.argv[2])
"""


def test_what_a_killed_push_leaves_is_removed_but_not_what_one_is_writing(
    tmp_path: Path,
) -> None:
    model = make_model(tmp_path / "model")
    serving = tmp_path / "serving"
    command = [sys.executable, "-c", PUSH_AND_STOP, str(model), str(serving)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"copied\n"
        [staging] = serving.iterdir()
        assert abandoned(str(serving), remove=True) == []
        assert (staging / "saved_model.pb").exists()
        process.kill()
        process.wait()
    assert live_version(str(serving)) is None
    (serving / ".pushing-link").symlink_to(model)
    assert abandoned(str(serving), remove=False) == [str(staging)]
    assert abandoned(str(serving), remove=True) == [str(staging)]
    assert not staging.exists() and (model / "saved_model.pb").exists()


def test_what_is_not_blessed_is_not_pushed(
    tmp_path: Path, blessing: artifact.Artifact
) -> None:
    unservable = standard_artifacts.InfraBlessing()
    unservable.set_int_custom_property("blessed", 0)
    refused = [
        _push(tmp_path / "worse", blessing, model_blessed=False),
        _push(tmp_path / "unservable", unservable),
    ]
    assert [p.get_int_custom_property("pushed") for p in refused] == [0, 0]
    assert not (tmp_path / "serving").exists()
