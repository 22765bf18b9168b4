"""Executor of SchemaImporter."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from tfx.utils import io_utils

from components.schema_importer.curated import (
    SCHEMA_FILE,
    curated_schema_digest,
    curated_schema_text,
)
from components.single_artifacts import Artifacts, SingleArtifactExecutor
from trainer.errors import UserError


class Executor(SingleArtifactExecutor):
    """Writes the packaged schema into the output artifact."""

    def run(
        self, inputs: Artifacts, outputs: Artifacts, parameters: Mapping[str, Any]
    ) -> None:
        """Copies the schema, after a check that it is the one the graph was made with.

        Args:
          inputs: None.
          outputs: `schema`: a `Schema`.
          parameters: `schema_digest`: SHA-256 of the schema when the pipeline was
            compiled.

        Raises:
          UserError: This machine's package holds another schema (on Kubeflow: the image
            is older or newer than the compiled pipeline).
        """
        expected = parameters["schema_digest"]
        found = curated_schema_digest()
        if found != expected:
            raise UserError(
                f"{SCHEMA_FILE} of this machine's package has the digest {found[:12]}, "
                f"but the pipeline was compiled with {expected[:12]}",
                "Compile the pipeline again with the package that the steps run with.",
            )
        path = os.path.join(outputs["schema"].uri, SCHEMA_FILE)
        io_utils.write_string_file(path, curated_schema_text())
