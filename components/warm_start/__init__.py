"""WarmStart: the model that training starts from.

Properties of its output `base_model`, for records of a run: `VERSION` is the served
version that training is to start from, "" for a cold start, and `NOTE` says why. The
Trainer may find that the model does not fit: `base_version` and `start` in its
`train_report.json` are what it did.
"""

from __future__ import annotations

from typing import Final

# Custom properties.
VERSION: Final = "base_version"
NOTE: Final = "note"
