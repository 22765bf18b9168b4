"""How the recommendations did that were served before: a section of the report."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from tfx import types

from components.feedback.config import FeedbackConfig
from components.feedback.example_outcomes import read_outcomes
from components.feedback.measure import measure
from trainer.errors import UserError

_LOG: Final = logging.getLogger(__name__)


def read_feedback(
    settings: Mapping[str, Any], examples: types.Artifact
) -> dict[str, Any] | None:
    """Returns the result of `measure`; None if no impressions are configured.

    Impressions that cannot be read are named in `error`: the report of a run, whose
    model may be live already, does not fail because of them.

    Args:
      settings: Of `FeedbackConfig`; empty if that is off.
      examples: With the ratings that came since.
    """
    config = FeedbackConfig(**settings)
    if config.impressions is None:
        return None
    try:
        return measure(config.impressions, read_outcomes(examples), config)
    except (UserError, OSError) as error:
        _LOG.warning("Impressions were not looked at: %s", error)
        return {"error": str(error)}
