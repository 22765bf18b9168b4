"""Two runs side by side, without any run."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

from pipeline.comparison import compare
from pipeline.figures import Output
from pipeline.past_run import Artifact, PastRun, Step

_NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)


def past(folder: Path, config: dict[str, Any], candidate: dict[str, float]) -> PastRun:
    folder.mkdir()
    intervals = {m: [v - 0.03, v + 0.03] for m, v in candidate.items()}
    summary = {"candidate": candidate, "intervals": {"candidate": intervals}}
    (folder / "retrieval_summary.json").write_text(json.dumps(summary))

    def step(key: str, parameters: dict[str, Any]) -> Step:
        artifact = Artifact(1, "Any", key, Output(str(folder)))
        return Step("Any", 1, "done", 1.0, parameters, {key: artifact})

    report = step("run_report", {"config": json.dumps(config)})
    return PastRun(folder.name, _NOW, (step("evaluation", {}), report))


def test_what_was_changed_and_what_came_of_it(tmp_path: Path) -> None:
    first = past(
        tmp_path / "a",
        {"train": {"epochs": 9, "seed": 1}, "eval": {"floors": {"mrr": 0.1}}},
        {"mrr": 0.10, "ndcg@10": 0.10, "map@10": 0.2},
    )
    second = past(
        tmp_path / "b",
        {"train": {"epochs": 5, "seed": 1}, "eval": {"floors": {}}},
        {"mrr": 0.13, "ndcg@10": 0.16, "map@10": 0.1},
    )
    found = compare(first, second)
    assert [(c.key, c.first, c.second) for c in found.config] == [
        ("eval.floors.mrr", 0.1, None),
        ("train.epochs", 9, 5),
    ]
    verdicts = {m.metric: m.verdict for m in found.metrics}
    # The noise of a difference is that of both: 0.042.
    assert verdicts == {"mrr": "", "ndcg@10": "better", "map@10": "worse"}


def test_a_metric_that_one_run_lacks_is_not_compared(tmp_path: Path) -> None:
    first = past(tmp_path / "a", {}, {"mrr": 0.1})
    second = past(tmp_path / "b", {}, {"ndcg@5": 0.1})
    found = compare(first, second).metrics
    assert [(m.metric, m.difference, m.verdict) for m in found] == [
        ("mrr", None, ""),
        ("ndcg@5", None, ""),
    ]
