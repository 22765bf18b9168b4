"""Graphs that several functions of a SavedModel call, instead of a copy in each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def traced_once(function: Callable[..., Any], *specs: tf.TensorSpec) -> Any:
    """Traces a function of tensors now, for all of its callers.

    Each call is one operation in the caller's graph, which TensorFlow inlines before it
    runs: it costs nothing then. A model with one copy of a graph in place of several
    takes less time to export and to load.

    Without AutoGraph, which nothing here needs: it would rewrite the source of Keras
    and TFT for 15 seconds in all.

    Args:
      function: Maps tensors to tensors.
      *specs: Type and shape of each argument.

    Returns:
      The function. It is a plain callable, so that a `tf.Module` may keep it without
      offering it as a function of its SavedModel.
    """
    graph = tf.function(function, autograph=False).get_concrete_function(*specs)

    def call(*tensors: tf.Tensor) -> Any:
        return graph(*tensors)

    return call
