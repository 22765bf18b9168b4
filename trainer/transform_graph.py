"""The Transform graph inside another model."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform.saved.saved_transform_io_v2 import SavedModelLoader


class TransformGraph(tf.Module):
    """Applies a Transform graph to raw features, in a form that is cheap to save.

    `TFTransformOutput.transform_features_layer()` does the same as a Keras 2 model, and
    saving that costs seconds: Keras traces call signatures that nobody uses.

    Args:
      tft_output: What Transform wrote.
    """

    def __init__(self, tft_output: tft.TFTransformOutput) -> None:
        """See the class docstring."""
        super().__init__(name="transform")
        self._loader = SavedModelLoader(tft_output.transform_savedmodel_dir)
        # As an attribute, so that tables and vocabulary files are saved with us.
        self._resources = vars(self._loader)

    def __call__(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Transforms the features that can be made of those given."""
        transformed: dict[str, Any] = self._loader.apply_transform_model(raw)
        return transformed
