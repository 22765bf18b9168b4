"""Encoders of a timeline: what a user has watched so far, as vectors.

`model.history_encoder` names one of `ENCODERS`, or a `HistoryEncoder` by dotted path.
"""

from __future__ import annotations

from typing import Final

from trainer.history.attention import AttentionHistory
from trainer.history.base import HistoryEncoder
from trainer.history.gru import GRUHistory
from trainer.history.none import NoHistory
from trainer.history.pool import BagHistory, PooledHistory

ENCODERS: Final[dict[str, type[HistoryEncoder]]] = {
    "pool": PooledHistory,
    "gru": GRUHistory,
    "attention": AttentionHistory,
    "bag": BagHistory,
    "none": NoHistory,
}
