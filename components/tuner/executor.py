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

from trainer.tuning.hyperparameters import SEARCH_FILE, decoded, nested
from trainer.tuning.tuner import Outcome, RetrievalTuner


class Executor(executor.Executor):
    """As the stock Tuner's, which keeps the score of a trial and not its error.

    Beside `tuner_results.json` it writes `search.json`: the best values, and all trials
    with recall@10, standard error and seconds. The best values are also the custom
    property `summary` of the artifact `best_hyperparameters`, for lineage.
    """

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Searches, and writes what was found.

        Args:
          input_dict: `examples`, `transform_graph`, `schema`.
          output_dict: `best_hyperparameters`, `tuner_results`.
          exec_properties: Of the stock Tuner.
        """
        tuner: RetrievalTuner = executor.search(
            input_dict,
            exec_properties,
            self._get_tmp_dir(),
            print_tuning_summary=False,
        )
        executor.write_best_hyperparameters(tuner, output_dict)
        best = decoded(tuner.get_best_hyperparameters()[0].values)
        content = {"best": best, "trials": _ranked(tuner.outcomes)}
        folder = artifact_utils.get_single_uri(output_dict[TUNER_RESULTS_KEY])
        path = os.path.join(folder, SEARCH_FILE)
        io_utils.write_string_file(path, json.dumps(content, indent=2))
        found = output_dict[BEST_HYPERPARAMETERS_KEY][0]
        found.set_string_custom_property("summary", json.dumps(nested(best)))


def _ranked(outcomes: list[Outcome]) -> list[dict[str, Any]]:
    """Best first, failed ones last; of equals the earlier first, as KerasTuner does."""
    ranked = sorted(
        outcomes, key=lambda o: -1.0 if o.recall is None else o.recall, reverse=True
    )
    return [dataclasses.asdict(outcome) for outcome in ranked]
