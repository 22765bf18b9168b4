"""Two runs side by side, without any run."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.runs.comparison import CommonUsers, compare
from pipeline.runs.run_record import Artifact, RunRecord, Step

_NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)


# User -> fingerprint of the row, and ranks of the held-out movies.
Ranks = dict[str, tuple[int, list[int]]]


def past(
    folder: Path,
    config: dict[str, Any],
    candidate: dict[str, float],
    ranks: Ranks | None = None,
) -> RunRecord:
    folder.mkdir()
    if ranks is not None:
        rows = [
            {"user_id": user, "row": row, "corpus_size": 50, "rank": rank}
            for user, (row, rank) in ranks.items()
        ]
        pq.write_table(pa.Table.from_pylist(rows), folder / "query_ranks.parquet")
    intervals = {m: [v - 0.03, v + 0.03] for m, v in candidate.items()}
    summary = {"candidate": candidate, "intervals": {"candidate": intervals}}
    (folder / "retrieval_summary.json").write_text(json.dumps(summary))

    def step(key: str, parameters: dict[str, Any]) -> Step:
        outputs = {key: Artifact(str(folder))}
        return Step(key, "done", outputs=outputs, parameters=parameters)

    report = step("run_report", {"config": json.dumps(config)})
    steps = {step_.id: step_ for step_ in (step("evaluation", {}), report)}
    return RunRecord(folder.name, _NOW, steps)


def test_changed_settings_and_metrics_are_listed(tmp_path: Path) -> None:
    first = past(
        tmp_path / "a",
        {"train": {"epochs": 9, "seed": 1}, "eval": {"floors": {"mrr": 0.1}}},
        {"mrr": 0.10, "ndcg@10": 0.10, "map@10": 0.2, "genre_divergence@10": 0.9},
    )
    second = past(
        tmp_path / "b",
        {"train": {"epochs": 5, "seed": 1}, "eval": {"floors": {}}},
        {"mrr": 0.13, "ndcg@10": 0.16, "map@10": 0.1, "genre_divergence@10": 0.5},
    )
    found = compare(first, second)
    assert [(c.key, c.first, c.second) for c in found.config] == [
        ("eval.floors.mrr", 0.1, None),
        ("train.epochs", 9, 5),
    ]
    verdicts = {m.metric: m.verdict for m in found.metrics}
    # The noise of a difference is that of both: 0.042.
    assert verdicts.pop("genre_divergence@10") == "better"  # it fell
    assert verdicts == {"mrr": "", "ndcg@10": "better", "map@10": "worse"}


def test_a_metric_that_one_run_lacks_is_not_compared(tmp_path: Path) -> None:
    first = past(tmp_path / "a", {}, {"mrr": 0.1})
    second = past(tmp_path / "b", {}, {"ndcg@5": 0.1})
    found = compare(first, second).metrics
    assert [(m.metric, m.difference, m.verdict) for m in found] == [
        ("mrr", None, ""),
        ("ndcg@5", None, ""),
    ]


def test_common_users_are_compared_one_by_one(tmp_path: Path) -> None:
    """What is noise between strangers is a difference between the same users."""
    one: Ranks = {f"u{n}": (n, [2 + n % 3]) for n in range(100)}
    other: Ranks = {f"u{n}": (n, [1 + n % 3]) for n in range(20, 120)}
    other["u50"] = (7, [11, 12])  # with two movies held out now
    metrics = {"mrr": 0.10, "hit_rate@1": 0.02, "coverage@10": 0.5}
    found = compare(
        past(tmp_path / "a", {}, metrics, one),
        past(tmp_path / "b", {}, {**metrics, "mrr": 0.13}, other),
    )
    assert found.common == CommonUsers(80, 79, of_first=100, of_second=100)
    mrr, hit_rate, coverage = found.metrics
    ranks = [(one[u][1][0], min(other[u][1])) for u in one if u in other]
    differences = [1 / second - 1 / first for first, second in ranks]
    mean = sum(differences) / 80
    assert mrr.difference == pytest.approx(mean)
    # As if there were two more users, who disagree wholly.
    more = [*differences, -1, 1]
    middle = sum(more) / 82
    variance = sum((d - middle) ** 2 for d in more) / 82
    assert mrr.noise == pytest.approx(1.959964 * (variance / 82) ** 0.5)
    assert (mrr.first, mrr.second, mrr.is_paired) == (0.10, 0.13, True)
    assert mrr.difference > mrr.noise and mrr.verdict == "better"
    hits = sum((second == 1) - (first == 1) for first, second in ranks)
    assert hit_rate.difference == pytest.approx(hits / 80)
    # No mean over users: 0.03 for each run.
    assert (coverage.difference, coverage.is_paired) == (0, False)
    assert coverage.noise == pytest.approx(0.03 * 2**0.5)


def test_runs_without_common_users_have_no_difference(tmp_path: Path) -> None:
    runs = [
        past(tmp_path / user, {}, {"mrr": 0.5}, {user: (1, [2])}) for user in ("a", "b")
    ]
    found = compare(*runs)
    assert found.common == CommonUsers(0, 0, 1, 1)
    assert (found.metrics[0].difference, found.metrics[0].verdict) == (None, "")


def test_without_ranks_the_users_count_as_independent(tmp_path: Path) -> None:
    first = past(tmp_path / "a", {}, {"mrr": 0.10})
    second = past(tmp_path / "b", {}, {"mrr": 0.13}, {"u": (1, [2])})
    found = compare(first, second)
    assert found.common is None and not found.metrics[0].is_paired
