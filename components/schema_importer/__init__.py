"""The curated schema of `Examples`, and the component that brings it into a run."""

from components.schema_importer.curated import (
    SCHEMA_FILE,
    curated_schema_digest,
    curated_schema_text,
)

__all__ = ["SCHEMA_FILE", "curated_schema_digest", "curated_schema_text"]
