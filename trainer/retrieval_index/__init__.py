"""The retrieval index of the served model: which movies score best for a query."""

from trainer.retrieval_index.base import Attributes, Filters, RetrievalIndex
from trainer.retrieval_index.brute_force import BruteForceIndex

__all__ = ["Attributes", "BruteForceIndex", "Filters", "RetrievalIndex"]
