"""Recall of the retrieval index."""

from __future__ import annotations

from components.metrics.base import FloatArray, MeanMetric, QueryBatch


class IndexRecall(MeanMetric):
    """How many of the best movies the served model's index finds, as a mean over users.

        index_recall(u) = |found(u) and best(u)| / |best(u)|

    where best(u) are the movies that exact search returns for the query, and found(u)
    those that the index returns: of 10 movies, or of the longest list of the
    evaluation, whichever is less. The model itself measures it; it is 1 for an index
    that searches all movies. It does not say how good the model is, but how much of
    what the other metrics measure is lost when it is served.

    Source: Aumüller, Bernhardsson and Faithfull, "ANN-Benchmarks: A benchmarking tool
    for approximate nearest neighbor algorithms", Information Systems 87, 2020.
    """

    name = "index_recall"
    is_fraction = True

    def value(self, batch: QueryBatch) -> FloatArray:
        """float64 `[queries]`, from 0 to 1."""
        return batch.index_recall.astype(float)
