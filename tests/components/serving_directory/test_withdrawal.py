"""Going back to an older version and restoring a newer one, on disk and in a store."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from components.serving_directory import (
    PUSH_FILE,
    Push,
    audit,
    complete_versions,
    live_version,
    read_ledger,
    withdrawn_versions,
    write_ledger,
)
from components.serving_directory.folders import copy_folder
from components.serving_directory.lock import locked
from components.serving_directory.withdrawal import (
    Change,
    removable_versions,
    restore,
    roll_back,
)
from tests.fixtures.command import error_line, two_tower
from tests.fixtures.served_versions import make_model
from trainer.errors import UserError
from trainer.model_identity import model_id


@pytest.fixture
def serving(tmp_path: Path) -> Path:
    """Versions 8, 9 and 10, each another model, as Pusher leaves them."""
    for name in ("8", "9", "10"):
        folder = make_model(tmp_path / "serving" / name, f"model {name}")
        push = Push(model_id(str(folder)), None, None, None, "", "")
        (folder / PUSH_FILE).parent.mkdir()
        (folder / PUSH_FILE).write_text(json.dumps(dataclasses.asdict(push)))
        write_ledger(str(tmp_path / "serving"), name, push)
    return tmp_path / "serving"


def audited(serving: Path) -> list[tuple[Any, ...]]:
    keys = ("action", "from", "to", "versions", "reason")
    return [tuple(line[key] for key in keys) for line in audit.read(str(serving))]


def test_without_a_version_it_goes_back_to_the_one_before(serving: Path) -> None:
    change = roll_back(str(serving), reason="worse")
    assert change == Change("10", "9", ("10",))
    assert complete_versions(str(serving)) == ["8", "9"]
    assert withdrawn_versions(str(serving)) == ["10"]
    assert audited(serving) == [("rollback", "10", "9", ["10"], "worse")]
    assert roll_back(str(serving)).live == "8"
    with pytest.raises(UserError, match=r"nothing to go back to .* 8 is the only one"):
        roll_back(str(serving))


def test_going_back_twice_to_the_same_version_changes_nothing(serving: Path) -> None:
    assert roll_back(str(serving), "8").withdrawn == ("9", "10")
    assert roll_back(str(serving), "8") == Change("8", "8")
    assert len(audited(serving)) == 1


def test_the_live_version_is_withdrawn_last(
    serving: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a server never sees a version in between, whenever it is killed."""
    seen: list[str | None] = []

    def rename(source: Any, target: Any, real: Any = os.rename) -> None:
        seen.append(live_version(str(serving)))
        if len(seen) == 2:
            raise KeyboardInterrupt
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", rename)
        with pytest.raises(KeyboardInterrupt):
            roll_back(str(serving), "8")
    assert seen == ["10", "10"] and live_version(str(serving)) == "10"
    assert roll_back(str(serving), "8").withdrawn == ("10",)
    assert live_version(str(serving)) == "8"
    assert withdrawn_versions(str(serving)) == ["9", "10"]


def test_what_was_withdrawn_is_restored_as_it_was(serving: Path) -> None:
    before = model_id(str(serving / "10"))
    roll_back(str(serving), "8")
    assert restore(str(serving), "9") == Change("8", "9", restored="9")
    assert restore(str(serving), "10", reason="it was not the model").live == "10"
    assert model_id(str(serving / "10")) == before
    assert withdrawn_versions(str(serving)) == []
    assert audited(serving)[-1][:3] == ("restore", "9", "10")
    with pytest.raises(UserError, match="10 is in .* not withdrawn"):
        restore(str(serving), "10")
    with pytest.raises(UserError, match=r"no version 11 .* Served: 8, 9, 10; withdr"):
        restore(str(serving), "11")


def test_a_restored_version_that_is_older_does_not_become_live(serving: Path) -> None:
    roll_back(str(serving), "8")
    make_model(serving / "11", "a newer one")
    assert restore(str(serving), "10") == Change("11", "11", restored="10")
    assert roll_back(str(serving)).live == "10"


def test_a_withdrawn_version_is_made_live_in_place_of_newer_ones(
    serving: Path,
) -> None:
    roll_back(str(serving), "8")
    make_model(serving / "11", "a newer one")
    assert roll_back(str(serving), "9") == Change("11", "9", ("11",), "9")
    assert complete_versions(str(serving)) == ["8", "9"]


def test_a_model_that_another_program_pushed_is_remembered_too(serving: Path) -> None:
    """Else an unchanged run that trains the same would push it again."""
    identity = model_id(str(make_model(serving / "11", "of another program")))
    roll_back(str(serving))
    entry = read_ledger(str(serving), identity)
    assert entry is not None and entry["version"] == "11"


def test_a_version_that_is_not_complete_is_no_target(serving: Path) -> None:
    (serving / "9" / "variables" / "variables.index").unlink()
    with pytest.raises(UserError, match=r"9 cannot be served: .*variables\.index"):
        roll_back(str(serving), "9")
    assert roll_back(str(serving)).live == "8"


def test_what_is_newer_and_not_complete_needs_an_explicit_target(
    serving: Path,
) -> None:
    (serving / "10" / "saved_model.pb").write_text("")
    with pytest.raises(UserError, match=r"10 .*copied, or damaged.* --to 9`"):
        roll_back(str(serving))
    assert roll_back(str(serving), "9") == Change("9", "9", ("10",))
    assert not (serving / "10").exists()


def test_a_push_that_goes_on_is_not_disturbed(serving: Path) -> None:
    with locked(str(serving), "a push"):
        with pytest.raises(UserError, match=r"being changed by a push \(process \d+"):
            roll_back(str(serving))
    assert live_version(str(serving)) == "10"


def test_a_push_waits_until_a_rollback_has_ended(serving: Path) -> None:
    held, ended = threading.Event(), []

    def rollback() -> None:
        with locked(str(serving), "a rollback"):
            held.set()
            time.sleep(0.2)
            ended.append(True)

    thread = threading.Thread(target=rollback)
    thread.start()
    held.wait()
    with locked(str(serving), "a push", wait_seconds=60):
        assert ended
    thread.join()


def test_a_killed_process_leaves_no_lock(serving: Path) -> None:
    script = (
        "import os, sys; from components.serving_directory.lock import locked\n"
        "with locked(sys.argv[1], 'a push'): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, str(serving)], check=False)
    assert "a push" in (serving / ".lock").read_text()
    assert roll_back(str(serving)).live == "9"


def test_a_link_is_withdrawn_and_restored_as_a_link(
    serving: Path, tmp_path: Path
) -> None:
    make_model(tmp_path / "elsewhere", "linked")
    (serving / "11").symlink_to("../elsewhere")
    roll_back(str(serving))
    assert (tmp_path / "elsewhere" / "saved_model.pb").exists()
    restore(str(serving), "11")
    assert live_version(str(serving)) == "11"


def test_a_copy_under_the_number_of_a_withdrawn_version_is_withdrawn_too(
    serving: Path,
) -> None:
    roll_back(str(serving))
    shutil.copytree(serving / ".withdrawn-10", serving / "10")
    assert roll_back(str(serving)).live == "9"
    assert withdrawn_versions(str(serving)) == ["10"]


def test_an_audit_that_cannot_be_written_stops_no_rollback(
    serving: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (serving / ".audit.jsonl").mkdir()
    assert roll_back(str(serving)).live == "9"
    assert ".audit.jsonl cannot be written" in caplog.text


def test_a_line_that_was_cut_off_spoils_no_other(serving: Path) -> None:
    (serving / ".audit.jsonl").write_text('{"action": "rollb')
    roll_back(str(serving))
    assert [line["to"] for line in audit.read(str(serving))] == ["9"]
    assert audit.read(str(serving))[0]["by"].count("@") == 1


def test_retention_keeps_what_a_rollback_chose_and_bounds_what_it_withdrew(
    serving: Path,
) -> None:
    roll_back(str(serving), "8")
    make_model(serving / "11", "a")
    make_model(serving / "12", "b")
    # 8 is old, but somebody chose it.
    assert removable_versions(str(serving), 1) == ["11", ".withdrawn-9"]
    roll_back(str(serving), "11")
    assert removable_versions(str(serving), 1) == [
        "8",
        ".withdrawn-9",
        ".withdrawn-10",
    ]


def test_in_an_object_store_it_is_copied_and_removed(tmp_path: Path) -> None:
    store = "ram://withdrawal"
    for name in ("8", "9"):
        copy_folder(str(make_model(tmp_path / name, name)), f"{store}/{name}")
    identity = model_id(str(tmp_path / "9"))
    assert model_id(f"{store}/9") == identity
    assert roll_back(store) == Change("9", "8", ("9",))
    assert complete_versions(store) == ["8"] and withdrawn_versions(store) == ["9"]
    assert restore(store, "9").live == "9"
    assert model_id(f"{store}/9") == identity
    # TensorFlow's store in memory appends where a real one replaces.
    assert {line["action"] for line in audit.read(store)} == {"rollback", "restore"}


def test_the_command_prints_what_it_did(serving: Path, tmp_path: Path) -> None:
    arguments = ("rollback", "--serving-dir", serving)
    done = two_tower(*arguments, "--reason", "worse", cwd=tmp_path)
    assert done.stdout.splitlines() == [
        "Withdrawn  10",
        "           `two-tower rollback --restore 10` puts it back",
        "Live       9",
    ]
    done = two_tower(*arguments, "--restore", "10", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["live"] == "10"
    line = error_line(two_tower(*arguments, "--to", "7", cwd=tmp_path), 1)
    assert "There is no version 7" in line
    missing = two_tower("rollback", "--serving-dir", "nowhere", cwd=tmp_path)
    assert "no versions in nowhere" in error_line(missing, 1)
    assert not (tmp_path / "nowhere").exists()
