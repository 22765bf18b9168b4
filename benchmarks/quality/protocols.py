"""What is measured: the datasets, how they are split, and our variants."""

from __future__ import annotations

from typing import Final, NamedTuple


class Protocol(NamedTuple):
    """One table of the benchmark.

    Attributes:
      name: Name of its files.
      dataset: Edition.
      title: What the table says of it.
      preset: Packaged preset that the configuration starts from (`--config`), if any.
      metrics: Columns, the first of which settings are chosen by.
      ours: Variant -> assignments of the configuration for model and training.
    """

    name: str
    dataset: str
    title: str
    preset: str
    metrics: tuple[str, ...]
    ours: dict[str, tuple[str, ...]]


def _encoder(name: str) -> tuple[str, ...]:
    return (f"model.history_encoder={name}",)


_BY_TIME: Final = {
    f"ours-{name}": _encoder(name) for name in ("pool", "gru", "attention")
}
_LEAVE_LAST_OUT: Final = ("ndcg@10", "hit_rate@10", "hit_rate@100", "mrr")

PROTOCOLS: Final = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "ml-100k",
            "ml-100k",
            "MovieLens-100K, every user's last event held out, seen movies excluded",
            "",
            _LEAVE_LAST_OUT,
            _BY_TIME,
        ),
        Protocol(
            "ml-100k-random",
            "ml-100k",
            "MovieLens-100K, a random fifth of the events held out, seen excluded",
            "random-split",
            ("interaction_recall@10", "interaction_recall@100"),
            {"ours-bag": ()},
        ),
        Protocol(
            "ml-latest-small",
            "ml-latest-small",
            "ml-latest-small, every user's last event held out, seen movies excluded",
            "",
            _LEAVE_LAST_OUT,
            _BY_TIME,
        ),
        Protocol(
            "ml-1m",
            "ml-1m",
            "MovieLens-1M, every user's last event held out, seen movies excluded",
            "",
            _LEAVE_LAST_OUT,
            _BY_TIME,
        ),
    )
}
