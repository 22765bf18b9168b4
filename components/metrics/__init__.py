"""Metrics of a ranked corpus: one file each, in NumPy, computed by one Beam combiner.

`catalogue.metric_named("ndcg@10")` makes a metric of its name; `tfma_metric` hands the
metrics of an evaluation to TFMA.
"""
