"""Executor of LiveModel."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any, Final

from tfx.utils import io_utils, path_utils

from components.live_model import EXISTS, SOURCE, VERSION
from components.serving_directory import latest_version
from components.single_artifacts import Artifacts, SingleArtifactExecutor

# Object stores keep no empty folder.
_PLACEHOLDER: Final = "NO_LIVE_MODEL"

_LOG: Final = logging.getLogger(__name__)


class Executor(SingleArtifactExecutor):
    """Copies the latest complete version out of the serving directory."""

    def run(
        self, inputs: Artifacts, outputs: Artifacts, parameters: Mapping[str, Any]
    ) -> None:
        """Copies the version, because it may be removed from the serving directory."""
        model = outputs["model"]
        version = latest_version(parameters["serving_dir"])
        source = os.path.join(parameters["serving_dir"], version or "")
        if version is None:
            _LOG.info("No model is served from %s yet.", source)
            io_utils.write_string_file(os.path.join(model.uri, _PLACEHOLDER), "")
        else:
            _LOG.info("The live model is %s.", source)
            io_utils.copy_dir(source, path_utils.serving_model_dir(model.uri))
        model.set_int_custom_property(EXISTS, int(version is not None))
        model.set_string_custom_property(VERSION, version or "")
        model.set_string_custom_property(SOURCE, source if version else "")
