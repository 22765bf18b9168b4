"""Labels: what is live, what a push, a promotion, a pin and a rollback do to them."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from components.serving_directory import (
    audit,
    complete_versions,
    labels,
    live_version,
    models_config,
    promotion,
    withdrawn_versions,
)
from components.serving_directory.folders import copy_folder
from components.serving_directory.label_file import LabelFile, Server, write_file
from components.serving_directory.labels import Labels
from components.serving_directory.withdrawal import (
    Change,
    removable_versions,
    restore,
    roll_back,
)
from tests.fixtures.command import error_line, two_tower
from tests.fixtures.served_versions import make_model
from trainer.errors import UserError


@pytest.fixture
def serving(tmp_path: Path) -> Path:
    """Versions 8, 9 and 10, without labels, as an earlier release left them."""
    for name in ("8", "9", "10"):
        make_model(tmp_path / "serving" / name, f"model {name}")
    return tmp_path / "serving"


def push(serving: Path | str, name: str, *, as_canary: bool = False) -> str:
    """What Pusher does after the copy."""
    before = live_version(str(serving))
    make_model(Path(serving) / name, f"model {name}")
    how = {"as_canary": as_canary, "server": Server()}
    return promotion.label_push(str(serving), name, before, **how)  # type: ignore[arg-type]


def held(serving: Path | str) -> tuple[str | None, str | None, bool]:
    found = labels.read(str(serving))
    return found.stable, found.canary, found.pinned


def parsed(serving: Path | str, name: str) -> Any:
    """A configuration, as TensorFlow Serving reads it."""
    content = (Path(serving) / name).read_text()
    found = text_format.Parse(content, model_server_config_pb2.ModelServerConfig())
    [config] = found.model_config_list.config
    assert (config.name, config.model_platform) == ("two-tower", "tensorflow")
    assert config.base_path == str(serving)
    return config


def served(serving: Path | str) -> dict[str, Any]:
    """The labels of `models.config`, which are those of the other two as well."""
    config = parsed(serving, "models.config")
    assert config.model_version_policy.WhichOneof("policy_choice") == "all"
    found = dict(config.version_labels)
    one = {
        label: parsed(serving, f"models.{label}.config").model_version_policy.specific
        for label in ("stable", "canary")
    }
    assert list(one["stable"].versions) == [found["stable"]]
    assert list(one["canary"].versions) == [found.get("canary", found["stable"])]
    return found


def test_without_labels_the_newest_version_is_live(serving: Path) -> None:
    assert labels.read(str(serving)) == Labels("10")
    assert live_version(str(serving)) == "10"
    roll_back(str(serving))
    assert labels.read(str(serving)) == Labels("9"), "a rollback makes no labels"
    assert not (serving / "models.config").exists()


def test_the_first_push_labels_its_version(serving: Path) -> None:
    assert push(serving, "11") == "stable"
    assert held(serving) == ("11", None, False)
    assert served(serving) == {"stable": 11}


def test_a_canary_is_not_live_until_it_is_promoted(serving: Path) -> None:
    assert push(serving, "11", as_canary=True) == "canary"
    assert held(serving) == ("10", "11", False)
    assert served(serving) == {"stable": 10, "canary": 11}
    moved = promotion.promote(str(serving), reason="good")
    assert (moved.before.stable, held(serving)) == ("10", ("11", None, False))
    assert served(serving) == {"stable": 11}
    [line] = audit.read(str(serving))
    assert [line[key] for key in ("action", "from", "to", "reason")] == [
        *("promote", "10", "11", "good")
    ]
    with pytest.raises(UserError, match="no canary .* 8, 9, 10, 11"):
        promotion.promote(str(serving))


def test_the_first_version_is_live_even_as_a_canary(tmp_path: Path) -> None:
    assert push(tmp_path, "1", as_canary=True) == "stable"


def test_an_older_version_can_be_promoted_and_again(serving: Path) -> None:
    promotion.promote(str(serving), "8")
    assert served(serving) == {"stable": 8} and complete_versions(str(serving))[-1:]
    assert promotion.promote(str(serving), "8").before.stable == "8"
    assert len(audit.read(str(serving))) == 1, "repeated, it is no move"
    roll_back(str(serving), "9")  # forward, and 10 is withdrawn
    assert held(serving)[0] == "9" and served(serving) == {"stable": 9}


def test_a_pin_keeps_the_live_version_until_it_ends(serving: Path) -> None:
    promotion.pin(str(serving), "9", reason="holidays")
    assert push(serving, "11") == "canary"
    assert held(serving) == ("9", "11", True)
    with pytest.raises(UserError, match=r"pinned to version 9.*pin --off"):
        promotion.promote(str(serving))
    assert promotion.pin(str(serving)).after.stable == "9"
    promotion.unpin(str(serving))
    promotion.unpin(str(serving))
    assert promotion.promote(str(serving)).after == Labels("11", exist=True)
    actions = [line["action"] for line in audit.read(str(serving))]
    assert actions == ["pin", "unpin", "promote"]


def test_a_rollback_moves_the_label_and_takes_the_pin_along(serving: Path) -> None:
    promotion.pin(str(serving), "10")
    push(serving, "11")
    assert roll_back(str(serving)) == Change("10", "9", ("10", "11"))
    assert held(serving) == ("9", None, True) and served(serving) == {"stable": 9}


def test_a_canary_alone_is_taken_back_and_restored_as_a_canary(serving: Path) -> None:
    push(serving, "11", as_canary=True)
    assert roll_back(str(serving), "10") == Change("10", "10", ("11",))
    assert served(serving) == {"stable": 10}
    assert restore(str(serving), "11") == Change("10", "10", restored="11")
    assert held(serving) == ("10", "11", False)


def test_what_was_live_is_restored_as_live(serving: Path) -> None:
    promotion.promote(str(serving), "10")
    roll_back(str(serving))
    assert restore(str(serving), "10").live == "10"
    assert served(serving) == {"stable": 10}


def test_no_label_goes_on_a_version_that_cannot_be_served(serving: Path) -> None:
    (serving / "9" / "saved_model.pb").write_bytes(b"")
    roll_back(str(serving), "8")
    make_model(serving / "11", "damaged")
    (serving / "11" / "saved_model.pb").unlink()
    for version, fault in (
        ("11", "11 cannot be served: .* no complete saved_model.pb"),
        ("10", "no version 10 .* rollback --restore 10"),
        ("7", "no version 7 .* one of 8"),
        ("../8", "no version ../8"),
    ):
        with pytest.raises(UserError, match=fault):
            promotion.promote(str(serving), version)
        with pytest.raises(UserError, match=fault):
            promotion.pin(str(serving), version)
    assert not (serving / ".labels.json").exists()


@pytest.mark.parametrize("loss", ["gone", "no complete variables/variables.index"])
def test_a_label_on_a_version_that_is_gone_or_damaged_does_not_hold(
    serving: Path, loss: str, caplog: pytest.LogCaptureFixture
) -> None:
    promotion.promote(str(serving), "9")
    push(serving, "11", as_canary=True)
    for version in ("9", "11"):
        path = serving / version
        if loss == "gone":
            shutil.rmtree(path)
        else:
            (path / "variables" / "variables.index").write_bytes(b"cut")
    assert live_version(str(serving)) == "10"
    assert f"labelled stable, {'is' if loss == 'gone' else 'has'} {loss}" in caplog.text
    assert "`two-tower promote VERSION`" in caplog.text
    found = labels.read(str(serving))
    assert (found.stable, found.canary, len(found.faults)) == ("10", None, 2)
    assert push(serving, "12") == "stable"
    assert labels.read(str(serving)) == Labels("12", exist=True)
    assert not labels.read(str(serving)).faults


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"format": 2}', b"\xff", b"[" * 100_000]
    + [
        json.dumps(
            {"format": 1, "canary": None, "withdrawing": [], "server": {}, **bad}
        ).encode()
        for bad in ({"stable": "../9", "pinned": False}, {"stable": "9", "pinned": 1})
    ],
)
def test_a_damaged_label_file_moves_nothing_and_is_written_anew(
    serving: Path, content: bytes
) -> None:
    (serving / ".labels.json").write_bytes(content)
    found = labels.read(str(serving))
    assert (found.stable, found.pinned) == ("10", True)
    assert "labels.json is damaged" in found.faults[0]
    assert push(serving, "11") == "canary", "it may have been pinned"
    assert labels.read(str(serving)) == Labels("10", "11", pinned=True, exist=True)
    promotion.unpin(str(serving))
    assert promotion.promote(str(serving)).after.stable == "11"


def test_retention_never_removes_a_version_with_a_label(serving: Path) -> None:
    promotion.pin(str(serving), "8")
    for name in ("11", "12", "13"):
        push(serving, name)
    promotion.unpin(str(serving))
    assert removable_versions(str(serving), 1) == ["9", "10", "11", "12"]
    promotion.promote(str(serving), "10")
    assert removable_versions(str(serving), 1) == ["8", "9", "11", "12"]
    (serving / ".labels.json").write_text("{")
    assert removable_versions(str(serving), 1) == [], "any version may have had one"


def killed_at(event: str, pattern: str, change: Callable[[], object]) -> None:
    """Does something in a process that is killed at an audit event of Python."""
    child = os.fork()
    if child:
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1]), f"{event} {pattern} came"
        return

    def kill(name: str, arguments: tuple[object, ...]) -> None:
        if name == event and re.search(pattern, " ".join(map(str, arguments[:2]))):
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(kill)
    try:
        change()
    finally:
        os._exit(0)


@pytest.mark.parametrize(
    ("event", "pattern", "is_moved"),
    [
        ("open", r"/\.audit\.jsonl a", False),
        ("os.rename", r"/\.labels\.json$", False),
        ("os.rename", r"/models\.config$", True),
    ],
)
def test_a_promotion_that_is_killed_is_completed_by_the_next_command(
    serving: Path, event: str, pattern: str, is_moved: bool
) -> None:
    push(serving, "11", as_canary=True)
    killed_at(event, pattern, lambda: promotion.promote(str(serving)))
    assert live_version(str(serving)) == ("11" if is_moved else "10")
    before = {"stable": 10, "canary": 11}
    assert dict(parsed(serving, "models.config").version_labels) == before
    promotion.promote(str(serving), "11")
    assert served(serving) == {"stable": 11} and not list(serving.glob(".part-*"))


def test_a_rollback_that_is_killed_is_completed_and_goes_no_further(
    serving: Path,
) -> None:
    promotion.promote(str(serving), "10")
    killed_at("os.rename", r"\.withdrawn-10$", lambda: roll_back(str(serving)))
    assert live_version(str(serving)) == "9" and served(serving) == {"stable": 9}
    assert complete_versions(str(serving)) == ["8", "9", "10"]
    assert roll_back(str(serving)) == Change("9", "9", ("10",))
    assert withdrawn_versions(str(serving)) == ["10"]
    assert roll_back(str(serving)).live == "8"


def test_a_killed_rollback_is_completed_by_whatever_comes_next(serving: Path) -> None:
    promotion.promote(str(serving), "10")
    killed_at("os.rename", r"\.withdrawn-10$", lambda: roll_back(str(serving)))
    promotion.pin(str(serving))
    assert withdrawn_versions(str(serving)) == ["10"]
    assert held(serving) == ("9", None, True)


def _promote(serving: str, version: str, results: Any) -> None:
    try:
        results.put(promotion.promote(serving, version).after.stable)
    except UserError as error:
        results.put(str(error))


def test_two_promotions_at_once_leave_labels_and_configuration_alike(
    serving: Path,
) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    for _ in range(3):
        both = [
            context.Process(target=_promote, args=(str(serving), version, results))
            for version in ("8", "9")
        ]
        for process in both:
            process.start()
        found = [results.get(timeout=60) for _ in both]
        for process in both:
            process.join()
        done = [result for result in found if result in ("8", "9")]
        assert done and all("being changed by" in r for r in found if r not in done)
        stable = labels.read(str(serving)).stable
        assert stable in done and served(serving) == {"stable": int(stable or 0)}


def test_on_a_full_disk_a_promotion_is_refused_and_a_rollback_is_not(
    serving: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    promotion.promote(str(serving), "10")

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr("components.storage.write_bytes", full)
        with pytest.raises(UserError, match=r"json cannot be written: No space"):
            promotion.promote(str(serving), "9")
        assert live_version(str(serving)) == "10"
        # Its number says all that the withdrawal needs; the ledger was written before.
        patch.setattr("components.serving_directory.withdrawal._remember", print)
        (serving / "models.config").unlink()  # as if a push had failed to write it
        change = roll_back(str(serving))
    assert "labels do not say so" in change.fault and change.live == "9"
    assert live_version(str(serving)) == "9"
    assert promotion.promote(str(serving), "9").after.stable == "9"
    assert served(serving) == {"stable": 9}


def test_labels_hold_in_an_object_store(tmp_path: Path) -> None:
    store = "ram://labels"
    for name in ("8", "9"):
        copy_folder(str(make_model(tmp_path / name, name)), f"{store}/{name}")
    promotion.label_push(store, "9", "8", as_canary=True, server=Server())
    assert held(store) == ("8", "9", False)
    text = models_config.config_text(store, labels.read(store), Server())
    assert 'base_path: "ram://labels"' in text


def test_name_and_path_of_the_server_are_literals_of_the_text_format(
    serving: Path,
) -> None:
    odd = 'a "b" \\ \n é'
    text = models_config.config_text(str(serving), Labels("8"), Server(odd, f"/{odd}"))
    parsed = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    [config] = parsed.model_config_list.config
    assert (config.name, config.base_path) == (odd, f"/{odd}")


def test_the_labels_keep_what_the_server_is_called(serving: Path) -> None:
    server = Server("movies", "/models/movies")
    write_file(str(serving), LabelFile("9", server=server))
    promotion.promote(str(serving), "8")
    text = (serving / "models.config").read_text()
    assert 'name: "movies"' in text and 'base_path: "/models/movies"' in text


def test_the_commands_move_and_show_the_labels(serving: Path, tmp_path: Path) -> None:
    at = ("--serving-dir", serving)
    done = two_tower("pin", "9", *at, "--reason", "freeze", cwd=tmp_path)
    assert done.stdout.splitlines()[0] == "Live       9, before: 10"
    line = error_line(two_tower("promote", "10", *at, cwd=tmp_path), 1)
    assert "stable is pinned to version 9" in line
    found = json.loads(two_tower("models", *at, "--json", cwd=tmp_path).stdout)
    assert (found["live"], found["pinned"], found["faults"]) == ("9", True, [])
    states = {row["version"]: (row["state"], row["labels"]) for row in found["models"]}
    assert states == {
        **{"8": ("served", []), "9": ("live", ["stable"]), "10": ("served", [])}
    }
    shown = two_tower("models", *at, cwd=tmp_path).stdout
    assert re.search(r"^9 +live, pinned +-", shown, re.M)
