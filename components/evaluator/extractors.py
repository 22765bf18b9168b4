"""What TFMA takes out of each row: as TFX has it, and the ranks of the query.

TFX imports the function by its name, and loads the module again to do so: nothing is
kept here.
"""

from __future__ import annotations

from typing import Any, Final

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2

from components.evaluator.query_ranks_writer import keep_ranks
from components.evaluator.tfma_config import CANDIDATE

# TFX's parameter that names the function.
PARAMETER: Final = {"custom_extractors": f"{__name__}.with_query_ranks"}


def with_query_ranks(
    eval_shared_model: Any,
    eval_config: config_pb2.EvalConfig,
    tensor_adapter_config: Any,
) -> list[tfma.extractors.Extractor]:
    """Returns TFMA's own extractors, and one behind the predictions."""
    stages: list[tfma.extractors.Extractor] = tfma.default_extractors(
        eval_shared_model=eval_shared_model,
        eval_config=eval_config,
        tensor_adapter_config=tensor_adapter_config,
    )
    place = [stage.stage_name for stage in stages].index("ExtractPredictions") + 1
    has_baseline = any(spec.is_baseline for spec in eval_config.model_specs)
    stages.insert(place, keep_ranks(CANDIDATE if has_baseline else ""))
    return stages
