"""The Transform graph inside another model."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform.saved.saved_transform_io_v2 import SavedModelLoader


class TransformGraph(SavedModelLoader, tf.Module):
    """Applies a Transform graph to raw features, in a form that is cheap to save.

    `TFTransformOutput.transform_features_layer()` does the same as a Keras 2 model, and
    saving that costs seconds, because Keras traces call signatures that nobody uses. As
    a `tf.Module` the loader's tables and vocabulary files are saved with the model that
    it is an attribute of.

    Args:
      tft_output: What Transform wrote.
    """

    def __init__(self, tft_output: tft.TFTransformOutput) -> None:
        tf.Module.__init__(self, name="transform")
        SavedModelLoader.__init__(self, tft_output.transform_savedmodel_dir)

    def __call__(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Transforms the features that can be made of those given."""
        transformed: dict[str, Any] = self.apply_transform_model(raw)
        return transformed
