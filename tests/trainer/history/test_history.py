"""The history encoders: their definitions, and that nothing of the future enters."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.fixtures import small_model as small
from trainer.history import ENCODERS, HistoryEncoder

DECAYS = (0.5, 0.8)
NUM_ROWS, LENGTH, DIM = 3, small.WINDOW_LENGTH, small.MODEL.embedding_dim
CAUSAL = sorted(ENCODERS.keys() - {"bag", "none"})


def encoder(name: str, **changes: object) -> HistoryEncoder:
    keras.utils.set_random_seed(1)
    return ENCODERS[name](small.context(encoder_dropout=0.0, **changes))


@pytest.fixture
def events() -> np.ndarray:
    """Timelines of five events and padding behind them."""
    events = np.random.default_rng(1).normal(size=(NUM_ROWS, LENGTH, DIM))
    events[:, 5:] = 0
    return events.astype("float32")


def encode(layer: HistoryEncoder, events: np.ndarray) -> np.ndarray:
    """All places of all rows: `[rows, L + 1, outputs, dim]`."""
    num_places = events.shape[1] + 1
    places = np.indices((NUM_ROWS, num_places)).reshape(2, -1).T.astype("int32")
    codes = layer(tf.constant(events), tf.constant(places))
    assert codes.shape == (NUM_ROWS * num_places, layer.num_outputs, DIM)
    return np.reshape(codes, (NUM_ROWS, num_places, layer.num_outputs, DIM))


@pytest.mark.parametrize("length", [1, LENGTH, 31, 32, 100])
def test_pools_are_what_the_docstring_says(length: int) -> None:
    """Of one block of places, and of several."""
    context = small.context(recency_decays=DECAYS)._replace(window_length=length)
    layer = ENCODERS["pool"](context)
    shape = (NUM_ROWS, length, DIM)
    events = np.random.default_rng(1).normal(size=shape).astype("float32")
    codes = encode(layer, events)
    for place in range(length + 1):
        before = events[:, :place]
        long_term = before.sum(axis=1) / np.sqrt(max(place, 1))
        np.testing.assert_allclose(codes[:, place, 0], long_term, atol=1e-5)
        for output, decay in enumerate(DECAYS, start=1):
            weights = decay ** np.arange(place)[::-1]
            expected = np.einsum("s,bsd->bd", weights, before)
            np.testing.assert_allclose(codes[:, place, output], expected, atol=1e-5)


def test_a_bag_holds_all_events_but_that_at_the_place(events: np.ndarray) -> None:
    codes = encode(encoder("bag"), events)
    for place in range(LENGTH + 1):
        others = np.delete(events, place, axis=1) if place < LENGTH else events
        count = 4 if place < 5 else 5
        expected = others.sum(axis=1) / np.sqrt(count)
        np.testing.assert_allclose(codes[:, place, 0], expected, atol=1e-5)


@pytest.mark.parametrize("name", CAUSAL)
def test_an_event_changes_all_the_places_behind_it_alone(
    name: str, events: np.ndarray
) -> None:
    layer = encoder(name)
    before = encode(layer, events)
    changed = events.copy()
    changed[:, 3] *= -1.0
    after = encode(layer, changed)
    np.testing.assert_array_equal(before[:, :4], after[:, :4])
    assert (np.abs(before[:, 4:6] - after[:, 4:6]).max(axis=3) > 1e-4).all()


@pytest.mark.parametrize("name", CAUSAL)
def test_the_order_of_events_matters(name: str, events: np.ndarray) -> None:
    layer = encoder(name)
    swapped = events.copy()
    swapped[:, [0, 4]] = swapped[:, [4, 0]]
    differences = np.abs(encode(layer, events) - encode(layer, swapped))
    assert differences[:, 5].max() > 1e-3


def test_a_row_does_not_depend_on_its_batch(events: np.ndarray) -> None:
    for name in (*CAUSAL, "bag"):
        layer = encoder(name)
        alone = layer(tf.constant(events[1:2]), tf.constant([[0, 5]]))
        np.testing.assert_allclose(encode(layer, events)[1, 5], alone[0], atol=1e-5)


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_an_encoder_can_be_traced_into_a_graph_of_its_own(
    name: str, events: np.ndarray
) -> None:
    """As the served model does, outside of any Keras model."""
    layer = encoder(name)
    places = tf.constant([[0, 5], [2, 3]])
    traced = tf.function(layer, autograph=False)(tf.constant(events), places)
    np.testing.assert_allclose(traced, layer(tf.constant(events), places), atol=1e-5)
