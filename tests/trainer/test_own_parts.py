"""The documented examples of a user's own classes run and do what the text says."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.fixtures import small_model as small
from trainer.history import HistoryEncoder
from trainer.losses import FullSoftmax, LossContext, RetrievalLoss, make_loss
from trainer.model import TwoTowerModel
from trainer.towers import CandidateTower, QueryTower

DOCS = Path(__file__).resolve().parents[2] / "docs" / "model.md"
CLASSES = (HistoryEncoder, QueryTower, CandidateTower, RetrievalLoss)


@pytest.fixture
def examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of all examples."""
    texts = [DOCS.read_text(), *(inspect.getdoc(kind) or "" for kind in CLASSES)]
    blocks = re.findall(r"```python\n(.*?)```", "\n".join(texts), re.DOTALL)
    (tmp_path / "documented_parts.py").write_text("\n".join(blocks))
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module("documented_parts")


def make_model(loss: str = "full_softmax", **model: Any) -> TwoTowerModel:
    keras.utils.set_random_seed(1)
    context = LossContext(small.train_config(loss=loss), np.full(small.NUM_MOVIES, 4))
    return TwoTowerModel(small.context(**model), make_loss(context))


def codes(encoder: HistoryEncoder) -> tuple[np.ndarray, np.ndarray]:
    """Events of a timeline, and the code at position 5."""
    events = np.random.default_rng(1).normal(size=(2, 8, 8)).astype("float32")
    return events[1], encoder(tf.constant(events), tf.constant([[1, 5]]))[0, 0]


def test_the_encoder_and_the_loss_of_the_page_train(
    examples: ModuleType, tmp_path: Path
) -> None:
    name = examples.__name__
    model = make_model(f"{name}.WeightedSoftmax", history_encoder=f"{name}.LastThree")
    events, code = codes(model.query_tower.history)
    np.testing.assert_allclose(code, events[2:5].mean(axis=0), atol=1e-6)
    small.fitted(model, tmp_path)
    assert small.top_hit_rate(model) > 0.8


def test_the_example_of_each_class_trains(examples: ModuleType, tmp_path: Path) -> None:
    name = examples.__name__
    model = make_model(
        f"{name}.UniformSoftmax",
        history_encoder=f"{name}.MeanHistory",
        query_tower=f"{name}.LastEventTower",
        candidate_tower=f"{name}.TitleLengthTower",
    )
    events, code = codes(model.query_tower.history)
    np.testing.assert_allclose(code, events[:5].mean(axis=0), atol=1e-6)
    small.fitted(model, tmp_path)
    assert small.top_hit_rate(model) > 0.8
    assert np.abs(model.candidate_tower._lengths).max() > 0.01


class LearnedTemperature(FullSoftmax):
    """A loss with a weight of its own, which divides the scores."""

    def __init__(self, context: LossContext) -> None:
        super().__init__(context)
        self.scale = self.add_weight((), initializer="ones", name="scale")

    def logits(self, queries: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
        return super().logits(queries, candidates) * self.scale

    def right_logits(self, retrieval: Any) -> tf.Tensor:
        return super().right_logits(retrieval) * self.scale

    def call(self, retrieval: Any) -> tf.Tensor:
        logits = self.logits(retrieval.queries, retrieval.candidates)
        total = tf.reduce_logsumexp(logits, axis=1)
        return self.reduce(total, self.right_logits(retrieval), total)


def test_the_weights_of_a_loss_are_trained_with_the_model(tmp_path: Path) -> None:
    model = make_model(f"{__name__}.LearnedTemperature")
    loss = model._retrieval_loss
    assert any(variable is loss.scale for variable in model.trainable_variables)
    small.fitted(model, tmp_path)
    assert abs(float(loss.scale) - 1) > 0.01


def test_the_random_generators_of_a_loss_are_part_of_the_model() -> None:
    """Else a resumed fit would draw other negatives."""
    for name in ("sampled_softmax", "in_batch_softmax"):
        model = make_model(name)
        state = model._retrieval_loss._seed.state
        assert any(variable is state for variable in model.variables)
