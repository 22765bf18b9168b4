"""Executor of SchemaImporter."""

from __future__ import annotations

import os
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import io_utils

from components.schema.curated import (
    SCHEMA_FILE,
    curated_schema_digest,
    curated_schema_text,
)
from pipeline.errors import UserError


class Executor(base_executor.BaseExecutor):
    """Writes the packaged schema into the output artifact."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Copies the schema, after a check that it is the one the graph was made with.

        Args:
          input_dict: Empty.
          output_dict: `schema`: one `Schema` artifact.
          exec_properties: `schema_digest`: SHA-256 of the schema when the pipeline was
            compiled.

        Raises:
          UserError: This machine's package holds another schema (on Kubeflow: the image
            is older or newer than the compiled pipeline).
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        expected = exec_properties["schema_digest"]
        found = curated_schema_digest()
        if found != expected:
            raise UserError(
                f"{SCHEMA_FILE} of this machine's package has the digest {found[:12]}, "
                f"but the pipeline was compiled with {expected[:12]}",
                "Compile the pipeline again with the package that the steps run with.",
            )
        uri = artifact_utils.get_single_uri(output_dict["schema"])
        io_utils.write_string_file(
            os.path.join(uri, SCHEMA_FILE), curated_schema_text()
        )
