"""Which day the first step of a scheduled run reads, whenever its container runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config.loading import load
from tests.fixtures.kfp_backend import Backend, Ran
from tests.fixtures.lazy import lazily
from tests.fixtures.movielens_files import write_csv

pytestmark = pytest.mark.slow

STEP = "MovieLensExampleGen"


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("volume") / "data"
    for day in ("2026-02-28", "2026-03-01", "2026-03-02"):
        ratings = [(u, m, 4, 1_000 + u + m) for u in range(1, 9) for m in range(1, 7)]
        write_csv(folder / day, ratings)
    return folder


def read(days: Path, folder: Path, span: str, created: str | None) -> Ran:
    settings = (
        f"kubeflow.volumes=[{{claim: two-tower, path: {days.parent}}}]",
        f"kubeflow.serving_dir={days.parent}/serving",
        f"kubeflow.input_base={days}",
        "kubeflow.defaults.retries=1",
    )
    make = lazily("pipeline.kubeflow_runner", "compile_pipeline")
    text = make(load((), settings)).to_yaml()
    backend = Backend(folder, created=created)
    return backend.run(text, {"span": span}, only=(STEP,))[STEP]


@pytest.mark.parametrize(
    ("span", "created", "day"),
    [
        ("yesterday", "2026-03-02T23:59:59Z", "2026-03-01"),
        ("yesterday@Europe/Berlin", "2026-03-02T23:30:00Z", "2026-03-02"),
    ],
)
def test_the_day_belongs_to_the_run(
    days: Path, tmp_path: Path, span: str, created: str, day: str
) -> None:
    """kfp#3704: the container runs today, long after the run was created."""
    ran = read(days, tmp_path, span, created)
    assert ran.state == "done", ran.log
    metadata = ran.outputs["examples"]["metadata"]
    assert int(metadata["span"]) == DAY_NUMBERS[day]


def test_an_older_server_is_named_and_no_day_is_guessed(
    days: Path, tmp_path: Path
) -> None:
    ran = read(days, tmp_path, "yesterday", None)
    assert ran.state == "failed"
    last = ran.log.strip().splitlines()[-1]
    assert last.startswith(
        f"{STEP} failed: The span 'yesterday' is counted from the day"
    )
    assert "2.17" in last


# Days since 1970, as TFX numbers spans of dates.
DAY_NUMBERS = {"2026-03-01": 20513, "2026-03-02": 20514}
