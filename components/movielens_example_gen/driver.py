"""The driver: resolves the window of spans and its fingerprint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfx.components.example_gen import driver as tfx_driver
from tfx.components.example_gen import utils
from tfx.types import standard_component_specs

from components.movielens_example_gen import parameters
from components.movielens_example_gen.inputs import spans


class Driver(tfx_driver.FileBasedDriver):
    """Fingerprints the contents of all spans of the window.

    TFX's driver fingerprints a single span by size and modification time: a copied
    folder would be a cache miss, and a changed older span of the window a hit.
    """

    def resolve_exec_properties(
        self, exec_properties: dict[str, Any], pipeline_info: Any, component_info: Any
    ) -> dict[str, Any]:
        """Adds span, version and fingerprint to the properties, the cache key.

        Raises:
          UserError: The folder, a file or a span is missing.
        """
        del pipeline_info, component_info
        given = parameters.from_exec_properties(exec_properties)
        base = Path(exec_properties[standard_component_specs.INPUT_BASE_KEY])
        newest = spans.resolve(base, given.data)[-1]
        exec_properties[utils.SPAN_PROPERTY_NAME] = newest.span
        exec_properties[utils.VERSION_PROPERTY_NAME] = newest.version
        exec_properties[utils.FINGERPRINT_PROPERTY_NAME] = (
            given.content_fingerprint or spans.content_fingerprint(base, given.data)
        )
        return exec_properties
