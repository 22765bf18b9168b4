"""LiveModel: the model that is served now, for the Evaluator to compare with."""

from __future__ import annotations

from typing import Final

# Custom properties of the model.
EXISTS: Final = "exists"  # int: 1, or 0 where there is no model to compare with
VERSION: Final = "version"  # string: the served version, "" for none
SOURCE: Final = "source"  # string: directory the version was found in, "" for none
MODEL_ID: Final = "model_id"  # string: its identity, "" for none
NOTE: Final = "note"  # string: why there is no model, where versions are served
