"""What becomes of a run whose live model is not what Pusher left there.

Each case has its row in docs/retraining.md.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from components.evaluator.model_faults import run_fault, signature_fault
from components.live_model.baseline import find_baseline
from components.pusher.push_version import push_version
from components.serving_directory import live_version
from components.serving_directory.withdrawal import roll_back
from tests.fixtures.broken_models import save_without_evaluate
from tests.fixtures.example_rows import eval_row, to_example
from tests.fixtures.served_versions import make_model
from tests.fixtures.tiny_model import save_tiny_model
from trainer.errors import UserError

ROW = to_example(eval_row(1)).SerializeToString()
Damage = Callable[[Path], object]


@pytest.fixture
def serving(tmp_path: Path) -> Path:
    """Version 8, a sound model, and 9, the live one."""
    for name in ("8", "9"):
        make_model(tmp_path / "serving" / name, f"model {name}", num_shards=2)
    return tmp_path / "serving"


def baseline(serving: Path, tmp_path: Path) -> str:
    """The version that a new candidate is compared with; empty for none."""
    candidate = tmp_path / "candidate"
    if not candidate.exists():
        make_model(candidate, "candidate")
    return find_baseline(str(serving), str(candidate), str(tmp_path / "copies")).version


def cut(file: str) -> Damage:
    def damage(version: Path) -> None:
        content = (version / file).read_bytes()
        (version / file).write_bytes(content[: len(content) // 2])

    return damage


DAMAGED: dict[str, Damage] = {
    "gone": shutil.rmtree,
    "an empty folder": lambda version: [shutil.rmtree(version), version.mkdir()],
    "saved_model.pb is garbage": lambda version: (
        version / "saved_model.pb"
    ).write_bytes(b"<html>502</html>"),
    "saved_model.pb of a power cut": lambda version: (
        version / "saved_model.pb"
    ).write_bytes(bytes(100)),
    "saved_model.pb cut off": cut("saved_model.pb"),
    "variables cut off": cut("variables/variables.data-00001-of-00002"),
    "index cut off": cut("variables/variables.index"),
    "a shard is missing": lambda version: (
        version / "variables" / "variables.data-00001-of-00002"
    ).unlink(),
    "variables are missing": lambda version: shutil.rmtree(version / "variables"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_version_is_passed_over_and_replaced(
    serving: Path, tmp_path: Path, case: str
) -> None:
    """As a server does that starts with it: the next push has a higher number."""
    DAMAGED[case](serving / "9")
    assert baseline(serving, tmp_path) == "8"
    version = Path(push_version(str(tmp_path / "candidate"), str(serving))).name
    assert int(version) > 9 and live_version(str(serving)) == version


@pytest.mark.parametrize("case", list(DAMAGED)[2:])
def test_a_damaged_version_is_withdrawn_on_request(serving: Path, case: str) -> None:
    DAMAGED[case](serving / "9")
    with pytest.raises(UserError, match=r"rollback --to 8` withdraws it"):
        roll_back(str(serving))
    assert roll_back(str(serving), "8").withdrawn == ("9",)


@pytest.mark.parametrize("case", list(DAMAGED)[1:])
def test_damage_without_another_version_ends_the_run_with_one_line(
    serving: Path, tmp_path: Path, case: str
) -> None:
    shutil.rmtree(serving / "8")
    DAMAGED[case](serving / "9")
    with pytest.raises(UserError, match="/9 has no complete .*remove it") as caught:
        baseline(serving, tmp_path)
    assert "\n" not in str(caught.value)


def test_all_versions_gone_make_the_run_the_first(
    serving: Path, tmp_path: Path
) -> None:
    shutil.rmtree(serving)
    assert baseline(serving, tmp_path) == ""


def test_a_half_copied_version_counts_when_it_is_whole(
    serving: Path, tmp_path: Path
) -> None:
    whole = make_model(tmp_path / "whole", "model 10")
    (serving / "10" / "variables").mkdir(parents=True)
    files = sorted(path for path in whole.rglob("*") if path.is_file())
    for path in files:
        target = serving / "10" / path.relative_to(whole)
        content = path.read_bytes()
        for end in (1, len(content) - 1):
            target.write_bytes(content[:end])
            assert baseline(serving, tmp_path) == "9"
        target.write_bytes(content)
    assert baseline(serving, tmp_path) == "10"


@pytest.mark.parametrize("target", ["../nowhere", "9", "/proc/1/root/x"])
def test_a_link_that_leads_nowhere_ends_the_run_with_one_line(
    serving: Path, tmp_path: Path, target: str
) -> None:
    shutil.rmtree(serving / "9")
    (serving / "9").symlink_to(target)
    with pytest.raises(UserError) as caught:
        baseline(serving, tmp_path)
    assert str(serving / "9") in str(caught.value) and "\n" not in str(caught.value)


def test_a_clock_that_goes_back_keeps_versions_in_order(
    serving: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_model(serving / "4000000000", "pushed while the clock was wrong")
    assert baseline(serving, tmp_path) == "4000000000"
    monkeypatch.setattr(time, "time", lambda: 1.0)
    version = Path(push_version(str(tmp_path / "candidate"), str(serving))).name
    assert version == live_version(str(serving)) == "4000000001"
    # Nor is the number of a version taken that was withdrawn.
    roll_back(str(serving), "9")
    again = Path(push_version(str(tmp_path / "candidate"), str(serving))).name
    assert again == "4000000002"


def test_a_model_of_another_program_ends_the_evaluation(tmp_path: Path) -> None:
    save_without_evaluate(str(tmp_path / "9"))
    fault = signature_fault(str(tmp_path / "9"), is_live=True)
    assert fault == "it has no function 'evaluate', only the signatures serving_default"


def test_a_model_of_an_older_version_of_the_code_is_compared(tmp_path: Path) -> None:
    """It has `evaluate` as a signature, and need not know what it was trained on."""
    save_tiny_model(str(tmp_path / "9"), fault="evaluate served")
    assert signature_fault(str(tmp_path / "9"), is_live=True) is None
    assert run_fault(str(tmp_path / "9"), ROW) is None


def test_bytes_that_changed_are_found_when_the_model_is_loaded(tmp_path: Path) -> None:
    """Nothing is cut off; TensorFlow compares checksums."""
    save_tiny_model(str(tmp_path / "9"), fault="evaluate served")
    shard = tmp_path / "9" / "variables" / "variables.data-00000-of-00001"
    content = bytearray(shard.read_bytes())
    content[:64] = bytes(64)
    shard.write_bytes(content)
    fault = run_fault(str(tmp_path / "9"), ROW)
    assert fault is not None and "\n" not in fault
