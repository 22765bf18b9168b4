"""Versions are taken over, skipped and dropped as the serving directory says."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from components.serving_directory.label_file import LabelFile, write_file
from pipeline.serving.server.errors import RequestError
from pipeline.serving.server.models import ModelVersions
from pipeline.serving.server.process import freeze_imports
from trainer.errors import UserError

Push = Callable[[int], Path]


@pytest.fixture
def serving(tmp_path: Path) -> Path:
    return tmp_path / "serving"


def numbers(versions: ModelVersions) -> list[int]:
    return [version.version for version in versions.loaded()]


def test_the_newest_version_is_taken_over_and_the_old_one_dropped(
    push: Push, serving: Path
) -> None:
    push(1)
    versions = ModelVersions.of_serving_dir(serving, "two-tower")
    versions.refresh()
    old = versions.get()
    gone = weakref.ref(old.model)
    push(2)
    versions.refresh()
    assert numbers(versions) == [2]
    assert versions.get(2).version == 2
    with pytest.raises(RequestError, match=r"Specific\(two-tower, 1\)"):
        versions.get(1)
    # A request that has begun ends on the version that it began on.
    assert old.call("known_user", {"user_id": ["a"]})["known"].tolist() == [True]
    del old
    gc.collect()
    assert gone() is None


def test_a_damaged_version_is_skipped_until_it_is_copied_again(
    push: Push, serving: Path
) -> None:
    push(1)
    versions = ModelVersions.of_serving_dir(serving, "two-tower")
    versions.refresh()
    model = push(2) / "saved_model.pb"
    content = model.read_bytes()
    model.write_bytes(content[: len(content) // 2])  # not complete
    versions.refresh()
    assert numbers(versions) == [1]
    assert not versions.failures
    model.write_bytes(content.replace(b"AsString", b"AsStrinq"))
    versions.refresh()
    assert numbers(versions) == [1]
    assert list(versions.failures) == [2]
    model.write_bytes(content)
    versions.refresh()
    assert numbers(versions) == [2]
    assert not versions.failures


def test_a_server_starts_with_an_older_version_if_the_newest_is_damaged(
    push: Push, serving: Path
) -> None:
    push(1)
    (push(2) / "assets.extra" / "model_info.json").write_text("{}")
    versions = ModelVersions.of_serving_dir(serving, "two-tower")
    versions.refresh()
    assert versions.get().version == 1


def test_labels_decide_what_is_live_and_the_canary_stands_beside_it(
    push: Push, serving: Path
) -> None:
    for version in (1, 2, 3):
        push(version)
    write_file(str(serving), LabelFile(stable="1", canary="2"))
    versions = ModelVersions.of_serving_dir(serving, "two-tower")
    versions.refresh()
    assert numbers(versions) == [1, 2]
    assert versions.get().version == versions.get("stable").version == 1
    assert versions.get("canary").version == 2
    assert versions.get("canary").labels == ("canary",)
    write_file(str(serving), LabelFile(stable="2"))
    versions.refresh()
    assert numbers(versions) == [2]
    assert versions.get().labels == ("stable",)
    with pytest.raises(RequestError, match="label: canary"):
        versions.get("canary")


def test_a_rollback_is_followed(push: Push, serving: Path) -> None:
    push(1)
    newer = push(2)
    versions = ModelVersions.of_serving_dir(serving, "two-tower")
    versions.refresh()
    newer.rename(serving / ".withdrawn-2")
    versions.refresh()
    assert numbers(versions) == [1]


def test_what_is_served_is_served_on_when_all_versions_are_gone(
    push: Push, serving: Path
) -> None:
    folder = push(1)
    versions = ModelVersions.of_serving_dir(serving, "two-tower")
    versions.refresh()
    folder.rename(serving / "away")
    with pytest.raises(UserError, match="no complete version"):
        versions.refresh()
    assert versions.get().version == 1


def test_a_damaged_version_that_is_gone_is_no_failure_any_more(
    push: Push, serving: Path
) -> None:
    push(1)
    damaged = push(2)
    (damaged / "assets.extra" / "model_info.json").write_text("{}")
    versions = ModelVersions.of_serving_dir(serving, "two-tower")
    versions.refresh()
    assert list(versions.failures) == [2]
    damaged.rename(serving / ".withdrawn-2")
    versions.refresh()
    assert not versions.failures


def test_the_first_version_is_dropped_although_imports_are_frozen(
    push: Push, serving: Path
) -> None:
    freeze_imports()
    try:
        push(1)
        versions = ModelVersions.of_serving_dir(serving, "two-tower")
        versions.refresh()
        gone = weakref.ref(versions.get().model)
        push(2)
        versions.refresh()
        assert gone() is None
    finally:
        gc.unfreeze()


def test_types_are_known_after_the_folder_was_withdrawn(
    push: Push, serving: Path
) -> None:
    folder = push(1)
    versions = ModelVersions.of_serving_dir(serving, "two-tower")
    versions.refresh()
    folder.rename(serving / ".withdrawn-1")
    assert "serving_default" in versions.get().signature_defs()
