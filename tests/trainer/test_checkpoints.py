"""A fit that was killed goes on, and ends where it would have ended."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fixtures import small_model as small
from trainer import features as f
from trainer.checkpoints import checkpoint_folder, remove_checkpoints
from trainer.fitting import ProgressCallback, fit
from trainer.model import TwoTowerModel
from trainer.train_report import FitReport
from trainer.validation import MONITORED, RECALL, Validation
from trainer.windows import hold_out_newest, make_windows

EPOCHS = 4


class KilledError(Exception):
    """Stands for the end of the process."""


def fitted(folder: Path) -> tuple[TwoTowerModel, FitReport]:
    columns = small.train_columns()
    windows = make_windows(columns, small.WINDOW_LENGTH)
    train, validation = hold_out_newest(windows, columns[f.WINDOW_INDEX], 6, seed=1)
    # Dropout and negatives are drawn, so that the state of their generators counts.
    model = small.make_model("sampled_softmax")
    settings = small.train_config(loss="sampled_softmax", epochs=EPOCHS)
    state = str(folder / "checkpoints" / "key")
    log_dir = str(folder / "log")
    return model, fit(model, train, validation, settings, log_dir, checkpoints=state)


def killed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ends a fit in its third epoch.

    Returns:
      The file that it leaves.
    """

    def die(self: ProgressCallback, epoch: int, logs: dict[str, Any] | None) -> None:
        if epoch == 2:
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(ProgressCallback, "on_epoch_begin", die)
        with pytest.raises(KilledError):
            fitted(folder)
    return folder / "checkpoints" / "key" / "state.npz"


@pytest.mark.slow  # fits two or three times
def test_a_killed_fit_ends_where_it_would_have_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, expected = fitted(tmp_path / "whole")
    assert killed(tmp_path / "killed", monkeypatch).exists()
    model, report = fitted(tmp_path / "killed")
    assert report.loss == expected.loss
    assert report.recall == expected.recall
    assert (report.ndcg, report.ndcg_error) == (expected.ndcg, expected.ndcg_error)
    assert report.best_epoch == expected.best_epoch
    for mine, theirs in zip(model.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    # Killed again, before the export has ended: nothing is trained a second time.
    with monkeypatch.context() as patch:
        patch.setattr(TwoTowerModel, "train_step", _fail)
        model, again = fitted(tmp_path / "killed")
    assert (again.loss, again.recall) == (expected.loss, expected.recall)
    assert again.best_epoch == expected.best_epoch
    assert again.train_seconds > 0 and again.targets_per_second > 0
    for mine, theirs in zip(model.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.slow  # fits
def test_a_fit_that_stopped_early_is_not_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(self: Validation, epoch: int, logs: dict[str, Any]) -> None:
        logs[MONITORED] = logs[RECALL] = 0.5
        self.model.stop_training = epoch == 1

    monkeypatch.setattr(Validation, "on_epoch_end", stop)
    _, expected = fitted(tmp_path)
    assert len(expected.loss) == 2
    monkeypatch.setattr(TwoTowerModel, "train_step", _fail)
    _, again = fitted(tmp_path)
    assert again.loss == expected.loss


def _fail(*arguments: object) -> None:
    raise AssertionError("it trains again")


@pytest.mark.slow  # fits two or three times
def test_a_damaged_checkpoint_is_named_and_training_starts_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = killed(tmp_path, monkeypatch)
    path.write_bytes(path.read_bytes()[:1000])
    with caplog.at_level(logging.WARNING):
        _, report = fitted(tmp_path)
    assert str(path) in caplog.text
    assert len(report.loss) == EPOCHS


def test_the_folder_depends_on_configuration_and_inputs() -> None:
    config = small.trainer_config()
    first = checkpoint_folder("/runs/Trainer/model_run/7", config, ["x", "y"])
    assert first.startswith("/runs/Trainer/checkpoints/")
    assert first == checkpoint_folder("/runs/Trainer/model_run/9", config, ["y", "x"])
    other = small.trainer_config(train=small.train_config(seed=8))
    assert first != checkpoint_folder("/runs/Trainer/model_run/7", other, ["x", "y"])


def test_only_checkpoints_are_removed(tmp_path: Path) -> None:
    precious = tmp_path / "checkpoints" / "notes.txt"
    names = ("state.npz", "state.npz.unfinished", ".part-0123456789abcdef")
    for number, name in enumerate(names):
        stale = tmp_path / "checkpoints" / f"fit {number}" / name
        stale.parent.mkdir(parents=True)
        stale.touch()
    precious.write_text("do not remove")
    remove_checkpoints(str(tmp_path / "checkpoints" / "fit 0"))
    assert [path.name for path in precious.parent.iterdir()] == [precious.name]
