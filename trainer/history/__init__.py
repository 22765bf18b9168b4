"""History encoders: what a user has watched so far, as vectors.

`model.history_encoder` is one of `ENCODERS`, or the dotted path of a `HistoryEncoder`.
"""

from __future__ import annotations

from typing import Final

from trainer.history.base import HistoryEncoder, NoHistory
from trainer.history.pool import BagHistory, PooledHistory
from trainer.history.sequential import AttentionHistory, GRUHistory

ENCODERS: Final[dict[str, type[HistoryEncoder]]] = {
    "pool": PooledHistory,
    "gru": GRUHistory,
    "attention": AttentionHistory,
    "bag": BagHistory,
    "none": NoHistory,
}
