"""The two towers: their dot product is the score of a movie for a query."""

from __future__ import annotations

from trainer.towers.candidate_tower import CandidateTower
from trainer.towers.layers import BY_INDEX, NOT_CARRIED
from trainer.towers.query_tower import QueryTower, Timelines

__all__ = ["BY_INDEX", "NOT_CARRIED", "CandidateTower", "QueryTower", "Timelines"]
