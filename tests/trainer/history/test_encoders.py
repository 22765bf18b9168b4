"""What all history encoders have in common: above all, that none sees the future."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.fixtures import small_model as small
from trainer.history import ENCODERS, HistoryEncoder

CAUSAL = sorted(ENCODERS.keys() - {"bag", "none"})


def encoder(name: str, **changes: object) -> HistoryEncoder:
    keras.utils.set_random_seed(1)
    layer = ENCODERS[name](small.context(encoder_dropout=0.0, **changes))
    for weight in layer.trainable_variables:  # some start at zero
        weight.assign_add(keras.random.normal(weight.shape, stddev=0.3))
    return layer


@pytest.fixture
def events() -> np.ndarray:
    return small.history_events()


@pytest.mark.parametrize("name", CAUSAL)
def test_an_event_changes_only_the_positions_after_it(
    name: str, events: np.ndarray
) -> None:
    layer = encoder(name)
    before = small.encode_everywhere(layer, events)
    changed = events.copy()
    changed[:, 3] *= -1.0
    after = small.encode_everywhere(layer, changed)
    np.testing.assert_array_equal(before[:, :4], after[:, :4])
    differences = np.abs(before[:, 4:6] - after[:, 4:6])
    assert (differences.max(axis=(2, 3)) > 1e-4).all()
    assert (differences.max(axis=(0, 1, 3)) > 1e-4).all()  # by each code


@pytest.mark.parametrize("name", CAUSAL)
def test_the_order_of_events_matters(name: str, events: np.ndarray) -> None:
    layer = encoder(name)
    swapped = events.copy()
    swapped[:, [0, 4]] = swapped[:, [4, 0]]
    differences = np.abs(
        small.encode_everywhere(layer, events) - small.encode_everywhere(layer, swapped)
    )
    assert differences[:, 5].max() > 1e-3


def test_a_row_does_not_depend_on_its_batch(events: np.ndarray) -> None:
    for name in (*CAUSAL, "bag"):
        layer = encoder(name)
        alone = small.encode(layer, events[1:2], [[0, 5]])
        np.testing.assert_allclose(
            small.encode_everywhere(layer, events)[1, 5], alone[0], atol=1e-5
        )


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_an_encoder_can_be_traced_into_a_graph(name: str, events: np.ndarray) -> None:
    """As the served model does, outside of any Keras model."""
    layer = encoder(name)
    positions = [[0, 5], [2, 3]]
    eager = small.encode(layer, events, positions)
    traced = tf.function(
        lambda values: small.encode(layer, values, positions), autograph=False
    )(tf.constant(events))
    np.testing.assert_allclose(traced, eager, atol=1e-5)
