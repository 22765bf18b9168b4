"""One line about the result of a step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.runs.headlines import headline
from pipeline.runs.run_record import Artifact


@pytest.mark.parametrize(
    "trial, expected",
    [
        ({"ndcg": 0.25, "recall": 0.5}, "best of 1 trial: ndcg 0.250 by"),
        ({"recall": 0.5}, "best of 1 trial: recall@10 0.500 by"),  # an earlier release
    ],
)
def test_a_search_names_what_its_trials_are_ranked_by(
    tmp_path: Path, trial: dict[str, Any], expected: str
) -> None:
    search = {"trials": [trial], "best": {"train.learning_rate": 0.1}}
    (tmp_path / "search.json").write_text(json.dumps(search))
    outputs = {"tuner_results": Artifact(str(tmp_path))}
    assert headline(outputs).startswith(expected)
