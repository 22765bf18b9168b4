# TFX reads the annotations of the function, so they must not be postponed.
"""LiveModel: brings the model that is served now into the run.

TFX would use a resolver, which no open-source Kubeflow executes and which needs queries
to ML Metadata. The serving directory shows which model is live.
"""

import logging
import os
from typing import Final

from tfx.dsl.component.experimental.annotations import (
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts
from tfx.utils import io_utils, path_utils

from components.live_model import EXISTS, SOURCE, VERSION
from components.serving_directory import latest_version

# Object stores keep no empty folder.
_PLACEHOLDER: Final = "NO_LIVE_MODEL"

_LOG: Final = logging.getLogger(__name__)


@component
def LiveModel(
    candidate: InputArtifact[standard_artifacts.Model],
    model: OutputArtifact[standard_artifacts.Model],
    serving_dir: Parameter[str],
) -> None:
    """Copies the latest complete version out of the serving directory.

    It is copied because the version may be removed from there during the run.

    Args:
      candidate: Not read. It ties the baseline to the candidate in the cache, so that
        an unchanged candidate keeps its baseline.
      model: The copy; the custom property `exists` is 0 and the folder empty where
        nothing is served yet.
      serving_dir: Where Pusher puts the versions.
    """
    version = latest_version(serving_dir)
    source = os.path.join(serving_dir, version or "")
    if version is None:
        _LOG.info("No model is served from %s yet.", source)
        io_utils.write_string_file(os.path.join(model.uri, _PLACEHOLDER), "")
    else:
        _LOG.info("The live model is %s.", source)
        io_utils.copy_dir(source, path_utils.serving_model_dir(model.uri))
    model.set_int_custom_property(EXISTS, int(version is not None))
    model.set_string_custom_property(VERSION, version or "")
    model.set_string_custom_property(SOURCE, source if version else "")
