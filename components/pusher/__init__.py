"""TFX's Pusher, with versions that cannot collide and models that are pushed once."""

from __future__ import annotations

from typing import Final

# Custom properties of the pushed model.
PUSHED: Final = "pushed"  # int, set by TFX: 1 if the model is served
PUSHED_DESTINATION: Final = "pushed_destination"  # string, set by TFX: its folder
PUSHED_VERSION: Final = "pushed_version"  # string, set by TFX: name of its version
MODEL_ID: Final = "model_id"  # string: see `trainer.model_identity`
LABEL: Final = "label"  # string: the label that the version got, "" for none
# int: 1 while the model waits for `two-tower approve`, 0 once it was approved; absent
# where it needs no approval.
AWAITING_APPROVAL: Final = "awaiting_approval"
