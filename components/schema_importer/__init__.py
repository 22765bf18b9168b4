"""SchemaImporter: brings the curated schema of `Examples` into a run.

The schema, `schema.pbtxt`, is read here without TFX.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import Final

SCHEMA_FILE: Final = "schema.pbtxt"


def curated_schema_text() -> str:
    """Returns the curated schema as a text-format `tensorflow.metadata.v0.Schema`."""
    return resources.files(__package__).joinpath(SCHEMA_FILE).read_text("utf-8")


def curated_schema_digest() -> str:
    """Returns the SHA-256 of the curated schema, in hexadecimal digits."""
    return hashlib.sha256(curated_schema_text().encode("utf-8")).hexdigest()
