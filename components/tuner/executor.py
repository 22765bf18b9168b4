"""Executor of SearchTuner."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

from tfx import types
from tfx.components.tuner import executor
from tfx.types import artifact_utils
from tfx.types.standard_component_specs import (
    BEST_HYPERPARAMETERS_KEY,
    TUNER_RESULTS_KEY,
)
from tfx.utils import io_utils

from trainer.tuning.hyperparameters import (
    BEST_VALUES_PROPERTY,
    SEARCH_FILE,
    by_section,
    from_keras_tuner,
)
from trainer.tuning.tuner import RetrievalTuner


class Executor(executor.Executor):
    """Runs the stock Tuner's search and keeps more of its results.

    `tuner_results.json` has only the score of each trial. `search.json`, beside it, has
    the best values, and all trials with NDCG, its standard error and seconds. The best
    values are also the custom property `summary` of the artifact
    `best_hyperparameters`, for `two-tower lineage`.
    """

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Searches, and writes the best values and the list of trials: see the class.

        Inputs, outputs and properties are those of the stock Tuner.
        """
        tuner: RetrievalTuner = executor.search(
            input_dict,
            exec_properties,
            self._get_tmp_dir(),
            print_tuning_summary=False,
        )
        executor.write_best_hyperparameters(tuner, output_dict)
        best = from_keras_tuner(tuner.get_best_hyperparameters()[0].values)
        # Best first, failed ones last, ties as they ran: as KerasTuner ranks them.
        ranked = sorted(
            tuner.outcomes,
            key=lambda trial: -1 if trial.ndcg is None else trial.ndcg,
            reverse=True,
        )
        content = {
            "best": best,
            "trials": [dataclasses.asdict(trial) for trial in ranked],
        }
        folder = artifact_utils.get_single_uri(output_dict[TUNER_RESULTS_KEY])
        path = os.path.join(folder, SEARCH_FILE)
        io_utils.write_string_file(path, json.dumps(content, indent=2))
        artifact = output_dict[BEST_HYPERPARAMETERS_KEY][0]
        summary = json.dumps(by_section(best))
        artifact.set_string_custom_property(BEST_VALUES_PROPERTY, summary)
