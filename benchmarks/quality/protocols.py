"""What is measured: the datasets, how they are split, and our variants."""

from __future__ import annotations

from typing import Final, NamedTuple


class Protocol(NamedTuple):
    """One table of the benchmark.

    Attributes:
      name: Name of its files.
      dataset: Edition.
      title: What the table says of it.
      settings: Assignments of the configuration (`--set`) for data and split.
      metrics: Columns, the first of which settings are chosen by.
      ours: Variant -> assignments of the configuration for model and training.
    """

    name: str
    dataset: str
    title: str
    settings: tuple[str, ...]
    metrics: tuple[str, ...]
    ours: dict[str, tuple[str, ...]]


def _encoder(name: str) -> tuple[str, ...]:
    return (f"model.history_encoder={name}",)


_BY_TIME: Final = {
    f"ours-{name}": _encoder(name) for name in ("pool", "gru", "attention")
}
# As pipeline/presets/random-split.yaml has them.
_RANDOM: Final = (
    "data.split=random",
    "data.holdout_fraction=0.2",
    "data.window_length=1000",
    "data.window_stride=1000",
)
_BAG: Final = (
    *_encoder("bag"),
    "train.batch_size=16",
    "train.learning_rate=0.005",
    "train.epochs=16",
    "train.validation_queries=0",
)
_LEAVE_LAST_OUT: Final = ("ndcg@10", "hit_rate@10", "hit_rate@100", "mrr")

PROTOCOLS: Final = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "ml-100k",
            "ml-100k",
            "MovieLens-100K, every user's last event held out, seen movies excluded",
            (),
            _LEAVE_LAST_OUT,
            _BY_TIME,
        ),
        Protocol(
            "ml-100k-random",
            "ml-100k",
            "MovieLens-100K, a random fifth of the events held out, seen excluded",
            _RANDOM,
            ("interaction_recall@10", "interaction_recall@100"),
            {"ours-bag": _BAG},
        ),
        Protocol(
            "ml-latest-small",
            "ml-latest-small",
            "ml-latest-small, every user's last event held out, seen movies excluded",
            (),
            _LEAVE_LAST_OUT,
            _BY_TIME,
        ),
    )
}
