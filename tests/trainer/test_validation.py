"""Early stopping, and which epoch's weights are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.fixtures import small_model as small
from trainer import features as f
from trainer.fitting import late_epoch
from trainer.input_pipeline import TrainingData
from trainer.movielens import HALF_STARS
from trainer.target_weights import TargetWeights
from trainer.training import train_model
from trainer.validation import MONITORED, RECALL, Validation, gains
from trainer.windows import Windows, hold_out_newest

QUERIES = 400


class FixedRanks(Validation):
    """Ranks by a script, to see what is made of it.

    The rank of an epoch is `10 * factor` of each query, times noise of each query and
    epoch of its own.
    """

    def __init__(self, factors: list[float], noise: float, **settings: int) -> None:
        many = small.windows().take(np.zeros(QUERIES, np.int64))
        is_target = np.zeros_like(many.is_target)
        is_target[:, -1] = True
        super().__init__(many._replace(is_target=is_target), **settings)
        rng = np.random.default_rng(3)
        hardness = rng.lognormal(sigma=2, size=QUERIES)
        noises = rng.lognormal(sigma=noise, size=(len(factors), QUERIES))
        ranks = 10 * np.array(factors)[:, None] * hardness * noises
        self._script = iter(np.ceil(ranks).astype(np.int32))

    def ranks(self) -> np.ndarray:
        return next(self._script)


class Stub:
    """Counts as the model: its weights are the epoch."""

    stop_training = False
    epoch = restored = 0
    target_weights = TargetWeights.of("equal", HALF_STARS)

    def get_weights(self) -> list[int]:
        return [self.epoch]

    def set_weights(self, weights: list[int]) -> None:
        self.restored = weights[0]


def validated(callback: FixedRanks, epochs: range, model: Stub) -> tuple[int, int]:
    """Runs epochs; returns the last one and the one whose weights the model has."""
    callback.set_model(model)
    callback.on_train_begin()
    for epoch in epochs:
        model.epoch = epoch + 1
        callback.on_epoch_end(epoch, {})
        if model.stop_training:
            break
    callback.on_train_end()
    return model.epoch, model.restored or model.epoch


@pytest.mark.parametrize(
    "factors, noise, settings, last, kept",
    [
        # Epochs that differ by noise only: the last.
        ([4, 1, 1, 1, 1], 0.8, {"patience": 2}, 5, 5),
        ([4, 1, 1.03, 1.03, 1.03], 0.8, {"patience": 2}, 5, 5),
        # Worse by 3 to 6 standard errors.
        ([4, 1, 1.4, 1.4, 1.4], 0.8, {"patience": 2}, 4, 2),
        # Worse twice, but not in a row.
        ([4, 1, 1.5, 1, 1.5, 1], 0.0, {"patience": 2}, 6, 6),
        # Worse for each query: at once, at the end, after a recovery, or never.
        ([4, 1, 1.5, 1.5, 1.5], 0.1, {"patience": 2}, 4, 2),
        ([4, 1, 1, 1, 1.5], 0.0, {"patience": 2}, 5, 4),
        ([4, 1, 1.5, 1, 1.5], 0.0, {"patience": 2}, 5, 4),
        ([4, 1, 1.5, 1.5, 1.5], 0.1, {"patience": None}, 5, 2),
        # Worse while the learning rate is high, as in ML-1M with 128 numbers.
        ([4, 1, 2, 2, 0.9], 0.1, {"patience": 2, "counts_from": 4}, 5, 5),
        ([4, 1, 2, 2, 2, 2], 0.1, {"patience": 2, "counts_from": 4}, 5, 2),
        ([1e4, 1e4, 1e4], 0.0, {"patience": 1}, 3, 3),
    ],
)
def test_the_last_epoch_is_kept_unless_an_earlier_one_is_better_beyond_noise(
    factors: list[float], noise: float, settings: dict[str, int], last: int, kept: int
) -> None:
    callback = FixedRanks(factors, noise, **settings)
    assert validated(callback, range(len(factors)), Stub()) == (last, kept)
    assert callback.best_epoch == kept


def test_a_restored_validation_decides_as_an_uninterrupted_one() -> None:
    factors = [4.0, 1.0, 2.0, 2.0, 2.0]
    first = FixedRanks(factors, 0.1, patience=3)
    first.set_model(Stub())
    for epoch in range(3):
        first.on_epoch_end(epoch, {})
    second = FixedRanks(factors[3:], 0.1, patience=3)
    second.restore(first.state())
    # Worse in epochs 3, 4 and 5: the first of them was before the interruption.
    assert validated(second, range(3, 9), Stub())[0] == 5
    assert second.best_epoch == 2


def test_both_measures_are_in_the_logs() -> None:
    callback = FixedRanks([1.0], 0.0, patience=None)
    callback.set_model(Stub())
    logs: dict[str, float] = {}
    callback.on_epoch_end(0, logs)
    assert 0 < logs[MONITORED] < 1 and 0 < logs[RECALL] < 1
    np.testing.assert_allclose(gains(np.array([1, 3])), [1, 0.5])
    callback._script = iter([np.repeat([10, 11], QUERIES // 2)])
    callback.on_epoch_end(1, logs)
    assert logs[RECALL] == 0.5


def test_what_a_window_has_seen_is_no_candidate() -> None:
    windows = small.windows()
    first_window = np.zeros(len(windows.movies), np.int64)
    _, held_out = hold_out_newest(windows, first_window, small.NUM_USERS, 1)
    callback = Validation(held_out, None)
    callback.set_model(small.make_model())
    seen = [len({*row} - {row[-1]}) for row in held_out.movies.tolist()]
    assert (callback.ranks() <= small.NUM_MOVIES - np.array(seen)).all()


@pytest.mark.parametrize("weight, kept", [(0.1, 2), (1.0, 1)])
def test_queries_count_as_the_loss_counts_them(weight: float, kept: int) -> None:
    """The second epoch is better for 40 liked movies, and worse for the others."""
    callback, model = FixedRanks([1.0, 1.0], 0.0, patience=None), Stub()
    ratings = np.full(callback._windows.ratings.shape, 3.0, np.float32)
    ratings[:40] = 5.0
    callback._windows = callback._windows._replace(ratings=ratings)
    others = np.repeat([10, 12], [40, QUERIES - 40])
    callback._script = iter([np.full(QUERIES, 11), others])
    model.target_weights = TargetWeights.of({0.5: weight, 4: 1.0}, HALF_STARS)
    assert validated(callback, range(2), model) == (2, kept)
    assert callback._weights.mean() == pytest.approx(1)


@pytest.mark.parametrize(
    "schedule, epochs, first",
    [("constant", 9, 1), ("cosine", 9, 7), ("cosine", 16, 12), ("cosine", 1, 1)],
)
def test_epochs_count_once_the_learning_rate_is_low(
    schedule: str, epochs: int, first: int
) -> None:
    config = small.train_config(learning_rate_schedule=schedule, epochs=epochs)
    assert late_epoch(config) == first


@pytest.mark.parametrize(
    "users, queries", [(40, 40), (300, 50), (6000, 600), (60_000, 5000)]
)
def test_the_number_of_queries_grows_with_the_users(users: int, queries: int) -> None:
    events = np.zeros((users, 2))
    windows = Windows(
        user_index=np.arange(users, dtype=np.int32),
        attribute_indices=np.zeros((users, 3), np.int32),
        movies=events.astype(np.int32),
        ratings=events.astype(np.float32),
        timestamps=events.astype(np.int64),
        is_target=events == 0,
    )
    train, validation = hold_out_newest(windows, np.zeros(users, np.int64), "auto", 1)
    assert len(validation.movies) == queries
    assert train.is_target.sum() == 2 * users - queries


def test_without_a_user_to_validate_on_all_epochs_are_trained(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Users with two ratings have one event in training: none is before it."""
    columns = small.train_columns() | {
        f.MOVIE_INDICES: small.ragged([[user] for user in range(small.NUM_USERS)]),
        f.RATINGS: small.ragged([[4.0]] * small.NUM_USERS, np.float32),
        f.TIMESTAMPS: small.ragged([[user] for user in range(small.NUM_USERS)]),
    }
    data = TrainingData(columns, small.corpus(), small.NUM_USERS)
    train = small.train_config(validation_queries=6, epochs=3)
    config = small.trainer_config(train=train)
    report = train_model(data, config, str(tmp_path / "logs")).report
    assert len(report.loss) == 3
    assert report.recall == []
    assert report.num_queries == 0
    assert "no user has enough events to validate on" in caplog.text
