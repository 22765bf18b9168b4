"""SchemaImporter: brings the curated schema into a run on any runner.

TFX's Importer takes a URI, which on Kubeflow must be remote storage, and its
ImportSchemaGen caches by path, so that an edited schema is not noticed. This component
takes the schema from the package and caches by its digest.
"""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from components.schema_importer.executor import Executor


class SchemaImporterSpec(types.ComponentSpec):
    """Parameters and output of SchemaImporter."""

    PARAMETERS = {
        "schema_digest": component_spec.ExecutionParameter(type=str),
        "code_hash": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: dict[str, component_spec.ChannelParameter] = {}
    OUTPUTS = {
        "schema": component_spec.ChannelParameter(type=standard_artifacts.Schema)
    }


class SchemaImporter(base_component.BaseComponent):
    """Copies the packaged `schema.pbtxt` into a `Schema` artifact."""

    SPEC_CLASS = SchemaImporterSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, *, schema_digest: str, code_hash: str) -> None:
        """Makes the node.

        Args:
          schema_digest: `components.schema_importer.curated_schema_digest()`.
          code_hash: Fingerprint of this component's source, for the cache.
        """
        super().__init__(
            spec=SchemaImporterSpec(
                schema_digest=schema_digest,
                code_hash=code_hash,
                schema=types.Channel(type=standard_artifacts.Schema),
            )
        )
