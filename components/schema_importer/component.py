# TFX reads the annotations of the function, so they must not be postponed.
"""SchemaImporter: brings the schema into a run on any runner.

TFX's Importer takes a URI, which on Kubeflow must be remote storage, and its
ImportSchemaGen caches by path, so that an edited schema is not noticed. This component
takes the schema from the package and caches by its digest.
"""

import json
import os

from tfx.dsl.component.experimental.annotations import OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts
from tfx.utils import io_utils

from components.schema_importer import (
    SCHEMA_FILE,
    curated_schema_digest,
    curated_schema_text,
)
from trainer.errors import UserError


@component
def SchemaImporter(
    schema: OutputArtifact[standard_artifacts.Schema],
    schema_digest: Parameter[str],
    rating_scale: Parameter[str],
) -> None:
    """Writes the schema of the package into the artifact.

    Args:
      schema: The schema.
      schema_digest: `curated_schema_digest` when the pipeline was compiled.
      rating_scale: JSON of `data.rating_scale`.

    Raises:
      UserError: The package on this machine has another schema than the pipeline was
        compiled with (on Kubeflow: the image is older or newer).
    """
    scale = json.loads(rating_scale)
    digest = curated_schema_digest(scale)
    if digest != schema_digest:
        raise UserError(
            f"{SCHEMA_FILE} of this machine's package has the digest {digest[:12]}, "
            f"but the pipeline was compiled with {schema_digest[:12]}",
            "Compile the pipeline again with the package that the steps run with.",
        )
    path = os.path.join(schema.uri, SCHEMA_FILE)
    io_utils.write_string_file(path, curated_schema_text(scale))
