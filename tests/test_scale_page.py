"""`docs/scale.md` says what was measured."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from benchmarks.scale_table import BEGIN, PAGE, extrapolated, filled, read, tables
from pipeline.config import PipelineConfig


def row(ratings: int, seconds: float) -> dict[str, Any]:
    return {
        "ratings": ratings,
        "steps": {
            "Trainer": {"seconds": seconds, "peak_rss_mb": 900.0},
            "Pusher": {"seconds": 1.0},
        },
        "seconds": seconds + 1.0,
        "training": {"targets_per_second": 44_000.0},
        "metrics": {
            "candidate": {"ndcg@10": 0.08},
            "popularity": {"ndcg@10": 0.02},
        },
        "model": {"mib": 23.5, "memory_mib": 218, "load_s": 2.0},
    }


def test_the_page_has_the_figures_of_the_results() -> None:
    page = PAGE.read_text()
    assert page == filled(page, read()), "run benchmarks/scale_table.py"


def test_a_column_per_size_and_one_that_is_marked_as_extrapolated() -> None:
    text = tables({"5m": row(5_000_000, 50.0), "1m": row(1_000_000, 10.0)})
    assert "| step | 1 million | 5 million | *1,000 million, extrapolated* |" in text
    assert "| Trainer | 10 | 50 | *10,000* |" in text
    assert "| other steps | 1 | 1 | *1* |" in text
    assert "| NDCG@10 after one epoch / of popularity | 0.080 / 0.020 |" in text


def test_runs_of_another_name_are_left_out() -> None:
    assert "50" not in tables({"1m": row(10**6, 10.0), "1m flink": row(10**6, 50.0)})


def test_nothing_falls_with_size() -> None:
    rows = [row(1_000_000, 50.0), row(5_000_000, 10.0)]
    assert extrapolated(rows, lambda item: item["seconds"]) == pytest.approx(11.0)


def test_named_settings_exist() -> None:
    page = PAGE.read_text().partition(BEGIN)[0] + PAGE.read_text().rpartition("-->")[2]
    named = re.findall(r"`(data|train|serving|eval|engine)\.(\w+)`", page)
    assert named
    for section, key in named:
        cls = type(getattr(PipelineConfig(), section))
        assert key in {field.name for field in dataclasses.fields(cls)}, key
