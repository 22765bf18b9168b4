"""The serving directory: its versions, what is live, and what was pushed or moved.

```
serving/<version>/                    a SavedModel, as TensorFlow Serving reads it
  assets.extra/push.json              which model it is and what it replaced: `Push`
  assets.extra/train_statistics.pb    statistics of its training data
  assets.extra/reference_statistics.pb    those that they were compared with
serving/.withdrawn-<version>/         a version that somebody took back; can be restored
serving/.pushed/<model id>.json       the version under which the model was pushed last
serving/.labels.json                  which versions are `stable` and `canary`
serving/models.config                 the same for TensorFlow Serving; so are
                                      models.stable.config and models.canary.config
serving/.audit.jsonl                  who changed what is served, when and why
serving/.lock                         held while versions change
```

A version that was removed or withdrawn stays in `.pushed`: that was on purpose.
TensorFlow Serving ignores names that are not numbers. Nothing here imports TensorFlow
for a folder of this machine, since the command line reads it too.

What is live is decided by `live_version` alone. What changes a serving directory is
imported by its own module: `lock`, `audit`, `promotion`, `withdrawal`.
"""

from components.serving_directory.completeness import missing_file
from components.serving_directory.labels import live_version
from components.serving_directory.layout import (
    LARGEST_VERSION,
    LEDGER,
    PUSH_FILE,
    REFERENCE_FILE,
    REMOVING_PREFIX,
    STAGING_PREFIX,
    STATISTICS_FILE,
    WITHDRAWN_PREFIX,
)
from components.serving_directory.pushes import (
    Push,
    read_ledger,
    read_push,
    write_ledger,
)
from components.serving_directory.reference import Reference, drift_reference
from components.serving_directory.versions import (
    complete_versions,
    recorded_version,
    versions,
    withdrawn_versions,
)

__all__ = [
    "LARGEST_VERSION",
    "LEDGER",
    "PUSH_FILE",
    "REFERENCE_FILE",
    "REMOVING_PREFIX",
    "STAGING_PREFIX",
    "STATISTICS_FILE",
    "WITHDRAWN_PREFIX",
    "Push",
    "Reference",
    "complete_versions",
    "drift_reference",
    "live_version",
    "missing_file",
    "read_ledger",
    "read_push",
    "recorded_version",
    "versions",
    "withdrawn_versions",
    "write_ledger",
]
