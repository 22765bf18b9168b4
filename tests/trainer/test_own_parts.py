"""The examples of `docs/model.md` do what the text says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.fixtures import small_model as small
from tests.trainer.test_fitting import fitted, found
from trainer.losses import LossContext, make_loss
from trainer.model import TwoTowerModel

DOCS = Path(__file__).resolve().parents[2] / "docs" / "model.md"


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The documented module, importable."""
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    (tmp_path / "documented_parts.py").write_text("\n".join(blocks))
    monkeypatch.syspath_prepend(tmp_path)
    return "documented_parts"


def test_the_documented_encoder_and_loss_train(mine: str, tmp_path: Path) -> None:
    settings = small.train_config(loss=f"{mine}.RareMoviesCount")
    loss = make_loss(LossContext(settings, np.full(small.NUM_MOVIES, 4)))
    assert type(loss).__name__ == "RareMoviesCount"
    model = TwoTowerModel(small.context(history_encoder=f"{mine}.LastThree"), loss)
    events = np.random.default_rng(1).normal(size=(2, 8, 8)).astype("float32")
    codes = model.query_tower.history(tf.constant(events), tf.constant([[1, 5]]))
    np.testing.assert_allclose(codes[0, 0], events[1, 2:5].mean(axis=0), atol=1e-6)
    fitted(model, tmp_path)
    assert found(model) > 0.8
