"""A model that was left for approval is pushed as it was, once, and only as that."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from components.pusher.approval import Approval, approve
from components.pusher.config import RolloutConfig
from components.pusher.push_model import describe, keep_rollout
from components.serving_directory import (
    PUSH_FILE,
    STATISTICS_FILE,
    audit,
    complete_versions,
    labels,
    live_version,
    read_ledger,
)
from components.serving_directory.withdrawal import roll_back
from tests.fixtures.served_versions import make_model
from trainer.errors import UserError
from trainer.model_identity import model_id


@pytest.fixture
def serving(tmp_path: Path) -> Path:
    make_model(tmp_path / "serving" / "8", "live")
    return tmp_path / "serving"


@pytest.fixture
def model(serving: Path, tmp_path: Path) -> Path:
    """A candidate with a warm-up request, as Pusher leaves it."""
    return waiting(tmp_path / "candidate", serving, "new")


def waiting(folder: Path, serving: Path, content: str) -> Path:
    make_model(folder, content)
    (folder / "assets.extra").mkdir()
    (folder / "assets.extra" / "tf_serving_warmup_requests").write_text("requests")
    describe(str(folder), b"stats", str(serving), model_id(str(folder)), "run 1")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_what_was_evaluated_is_pushed_byte_for_byte(model: Path, serving: Path) -> None:
    before = contents(model)
    done = approve(str(model), str(serving), reason="looked at")
    assert done.is_new and done.live == done.version == live_version(str(serving))
    pushed = contents(serving / done.version)
    push = json.loads(pushed.pop(PUSH_FILE))
    before.pop(PUSH_FILE)
    assert pushed == before
    assert (push["replaced"], push["run_id"]) == ("8", "run 1")
    entry = read_ledger(str(serving), push["model_id"])
    assert entry is not None and entry["version"] == done.version
    [line] = audit.read(str(serving))
    assert (line["action"], line["from"], line["to"]) == ("approve", "8", done.version)
    assert (line["reason"], line["run_id"]) == ("looked at", "run 1")


def test_an_approved_model_becomes_the_canary_if_its_run_said_so(
    model: Path, serving: Path
) -> None:
    keep_rollout(str(model), RolloutConfig(rollout="canary", model_name="movies"))
    done = approve(str(model), str(serving))
    assert (done.live, labels.read(str(serving)).canary) == ("8", done.version)
    assert 'name: "movies"' in (serving / "models.config").read_text()


def test_an_approval_that_is_repeated_pushes_nothing(
    model: Path, serving: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("components.pusher.push_model._record", killed)
        with pytest.raises(KeyboardInterrupt):
            approve(str(model), str(serving))
    [_, version] = complete_versions(str(serving))
    for _ in range(2):
        done = approve(str(model), str(serving))
        assert done == Approval(version, False, version)
    assert complete_versions(str(serving)) == ["8", version]
    assert len(audit.read(str(serving))) == 1
    assert read_ledger(str(serving), model_id(str(model))) is not None


def test_a_model_that_changed_since_is_refused(model: Path, serving: Path) -> None:
    (model / "variables" / "variables.data-00000-of-00001").write_text("other")
    with pytest.raises(UserError, match="not the one that was evaluated"):
        approve(str(model), str(serving), force=True)


@pytest.mark.parametrize("file", ["saved_model.pb", STATISTICS_FILE])
def test_a_model_that_is_not_complete_is_refused(
    model: Path, serving: Path, file: str
) -> None:
    (model / file).unlink()
    with pytest.raises(UserError, match=f"not complete: it has no {file}"):
        approve(str(model), str(serving))


def test_a_folder_without_a_record_is_refused(serving: Path) -> None:
    with pytest.raises(UserError, match="no model that waits for approval"):
        approve(str(serving / "8"), str(serving))


def test_another_live_model_than_it_was_compared_with_needs_force(
    model: Path, serving: Path
) -> None:
    make_model(serving / "9", "newer")
    with pytest.raises(UserError, match=r"version 8 was live .* version 9 is live now"):
        approve(str(model), str(serving))
    assert complete_versions(str(serving)) == ["8", "9"]
    done = approve(str(model), str(serving), force=True, reason="urgent")
    assert done.live == done.version
    [line] = audit.read(str(serving))
    assert line["reason"].startswith("urgent (forced: version 8 was live")


def test_the_same_model_under_another_number_is_still_the_same(
    model: Path, serving: Path
) -> None:
    (serving / "8").rename(serving / "9")
    assert approve(str(model), str(serving)).is_new


def test_where_nothing_was_live_nothing_may_be(tmp_path: Path) -> None:
    serving = tmp_path / "serving"
    model = waiting(tmp_path / "candidate", serving, "new")
    make_model(serving / "8", "live")
    with pytest.raises(UserError, match="nothing was live .* version 8 is live now"):
        approve(str(model), str(serving))
    shutil.rmtree(serving)
    assert approve(str(model), str(serving)).is_new


def test_a_model_that_was_rolled_back_is_not_approved_again_by_mistake(
    model: Path, serving: Path
) -> None:
    first = approve(str(model), str(serving)).version
    roll_back(str(serving))
    with pytest.raises(UserError, match=rf"as version {first}, and taken away"):
        approve(str(model), str(serving))
    assert live_version(str(serving)) == "8"
    again = approve(str(model), str(serving), force=True)
    assert again.is_new and int(again.version) > int(first)
