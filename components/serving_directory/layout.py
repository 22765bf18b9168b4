"""Names in a serving directory and in a version."""

from __future__ import annotations

from typing import Final

# Within a version.
STATISTICS_FILE: Final = "assets.extra/train_statistics.pb"
REFERENCE_FILE: Final = "assets.extra/reference_statistics.pb"
PUSH_FILE: Final = "assets.extra/push.json"
# Within the serving directory.
LEDGER: Final = ".pushed"
LOCK_FILE: Final = ".lock"
AUDIT_FILE: Final = ".audit.jsonl"
LABELS_FILE: Final = ".labels.json"
MODELS_CONFIG: Final = "models.config"
STABLE_CONFIG: Final = "models.stable.config"
CANARY_CONFIG: Final = "models.canary.config"
STAGING_PREFIX: Final = ".pushing-"
WITHDRAWN_PREFIX: Final = ".withdrawn-"
REMOVING_PREFIX: Final = ".removing-"
LARGEST_VERSION: Final = 2**63 - 1  # TensorFlow Serving reads 64-bit integers
