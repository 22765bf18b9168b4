"""StatisticsGen writes what TFX's own executor writes."""

from __future__ import annotations

import collections
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import tensorflow_data_validation as tfdv
from tfx.components.statistics_gen import executor as stock
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils, standard_artifacts

from components.data_gate.divergence import Statistics, by_name
from components.statistics_gen import top_values
from components.statistics_gen.component import Executor
from components.statistics_gen.top_values import TopValues
from pipeline.engines.beam_options import BEAM_ARGS
from tests.fixtures.example_rows import sound_rows, train_row, write_examples


def _statistics(
    executor: Any, folder: Path, examples: standard_artifacts.Examples
) -> standard_artifacts.ExampleStatistics:
    statistics = standard_artifacts.ExampleStatistics()
    statistics.uri = str(folder)
    options = tfdv.StatsOptions(num_histogram_buckets=20, num_rank_histogram_buckets=9)
    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=list(BEAM_ARGS), tmp_dir=str(folder / "tmp")
    )
    executor(context).Do(
        {"examples": [examples]},
        {"statistics": [statistics]},
        {"exclude_splits": '["known"]', "stats_options_json": options.to_json()},
    )
    return statistics


@pytest.mark.slow
def test_it_writes_what_the_stock_executor_writes(tmp_path: Path) -> None:
    rows = sound_rows() | {"known": [train_row(1)]}
    # Ties at the end of the list, text that is no UTF-8, a feature that few rows have.
    rows["train"] += [train_row(7, user_id=[b"\xff"], occupation=[b"writer"])]
    examples = write_examples(tmp_path / "examples", rows)
    ours, theirs = (
        _statistics(executor, tmp_path / name, examples)
        for name, executor in (("ours", Executor), ("theirs", stock.Executor))
    )
    assert ours.split_names == theirs.split_names
    assert ours.span == theirs.span
    for split in ("train", "eval", "corpus"):
        own, expected = (
            Statistics.FromString(
                Path(
                    artifact_utils.get_split_uri([artifact], split), "FeatureStats.pb"
                ).read_bytes()
            )
            for artifact in (ours, theirs)
        )
        assert own.datasets[0].num_examples == expected.datasets[0].num_examples
        assert by_name(own) == by_name(expected)


def test_counts_of_many_batches_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(top_values, "_MAX_PENDING", 40)
    chance = random.Random(7)
    generator = TopValues(num_top_values=3, num_buckets=12)
    expected: collections.Counter[str] = collections.Counter()
    parts = [generator.create_accumulator() for _ in range(3)]
    for _ in range(60):
        rows = [
            [
                f"m{int(chance.paretovariate(0.7)) % 50}"
                for _ in range(chance.randrange(6))
            ]
            for _ in range(chance.randrange(20))
        ]
        expected.update(value for row in rows for value in row)
        lists = pa.array(
            [[value.encode() for value in row] for row in rows],
            pa.large_list(pa.large_binary()),
        )
        batch = pa.RecordBatch.from_arrays([lists], ["movie_ids"])
        part = chance.randrange(3)
        parts[part] = generator.add_input(parts[part], batch)
    parts[0] = generator.compact(parts[0])
    found = generator.extract_output(generator.merge_accumulators(parts))
    strings = found.features[0].string_stats
    assert strings.unique == len(expected)
    highest = sorted(expected, key=lambda v: (expected[v], v), reverse=True)[:12]
    assert {b.label: b.sample_count for b in strings.rank_histogram.buckets} == {
        value: expected[value] for value in highest
    }
    assert [top.value for top in strings.top_values] == highest[:3]


def test_features_without_a_string_are_left_out() -> None:
    generator = TopValues(num_top_values=3, num_buckets=12)
    empty = pa.array([[], None], pa.large_list(pa.large_binary()))
    numbers = pa.array([[1], [2]], pa.large_list(pa.int64()))
    batch = pa.RecordBatch.from_arrays(
        [empty, numbers, pa.nulls(2)], ["title", "year", "zip_code"]
    )
    state = generator.add_input(generator.create_accumulator(), batch)
    assert not generator.extract_output(state).features
