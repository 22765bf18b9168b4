"""The check, in a process of its own, that a server could serve the model."""

from __future__ import annotations

from typing import Final

# Custom properties of the blessing; the first two are InfraValidator's, for Pusher.
BLESSED: Final = "blessed"  # int: whether the model is servable
HAS_MODEL: Final = "has_model"  # int: 1 if the blessing holds a copy of the model
REASONS: Final = "reasons"  # string: JSON list of why the model is not servable
