"""TFX's Pusher, with versions that cannot collide."""

from __future__ import annotations

from typing import Final

# Custom property of the pushed model, set by TFX: name of its version.
PUSHED_VERSION: Final = "pushed_version"
