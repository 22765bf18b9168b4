"""Filters are those of the job, whoever else asks the same loaded model."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from pipeline.serving.batch.answering import _filter_inputs
from pipeline.serving.batch.job import Filters


def test_two_jobs_of_one_model_have_their_own_filters() -> None:
    first = _filter_inputs(2, Filters(genres=("Drama",), first_year=1990))
    second = _filter_inputs(2, Filters(genres=("Comedy", "War")))
    assert first["genres"].numpy().tolist() == [[b"Drama"]] * 2
    assert first["first_year"].numpy().tolist() == [1990] * 2
    assert second["genres"].numpy().tolist() == [[b"Comedy", b"War"]] * 2
    assert second["first_year"].numpy().tolist() == [0] * 2


def test_threads_with_batches_of_several_sizes_do_not_disturb_each_other() -> None:
    def sizes(rows: int) -> set[int]:
        filters = Filters(include_seen=True)
        return {
            int(_filter_inputs(rows, filters)["include_seen"].shape[0])
            for _ in range(50)
        }

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(sizes, [1, 2, 1, 2])) == [{1}, {2}, {1}, {2}]
