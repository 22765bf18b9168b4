"""Which day the first step of a scheduled run reads, whenever its container runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.config.loading import load
from tests.fixtures.kfp_backend import Backend, Ran
from tests.fixtures.lazy import lazily
from tests.fixtures.movielens_files import write_csv
from tests.fixtures.warm_python import WarmPython

pytestmark = pytest.mark.slow

STEP = "MovieLensExampleGen"


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("volume") / "data"
    for day in ("2026-02-28", "2026-03-01", "2026-03-02"):
        ratings = [(u, m, 4, 1_000 + u + m) for u in range(1, 9) for m in range(1, 7)]
        write_csv(folder / day, ratings)
    return folder


Read = Callable[[Path, str, str | None], Ran]


@pytest.fixture
def read(days: Path, python: WarmPython | None) -> Read:
    """Runs the first step, in a folder, for a span and the time of the run."""
    text = pipeline_that_reads(days)

    def run(folder: Path, span: str, created: str | None) -> Ran:
        backend = Backend(folder, created=created, steps=python)
        return backend.run(text, {"span": span}, only=(STEP,))[STEP]

    return run


def pipeline_that_reads(days: Path) -> str:
    settings = (
        f"kubeflow.volumes=[{{claim: two-tower, path: {days.parent}}}]",
        f"kubeflow.serving_dir={days.parent}/serving",
        f"kubeflow.input_base={days}",
        "kubeflow.defaults.retries=1",
    )
    make = lazily("pipeline.kubeflow_runner", "compile_pipeline")
    text: str = make(load((), settings)).to_yaml()
    return text


@pytest.mark.parametrize(
    ("span", "created", "day"),
    [
        ("yesterday", "2026-03-02T23:59:59Z", "2026-03-01"),
        ("yesterday@Europe/Berlin", "2026-03-02T23:30:00Z", "2026-03-02"),
    ],
)
def test_the_day_belongs_to_the_run(
    read: Read, tmp_path: Path, span: str, created: str, day: str
) -> None:
    """kfp#3704: the container runs today, long after the run was created."""
    ran = read(tmp_path, span, created)
    assert ran.state == "done", ran.log
    metadata = ran.outputs["examples"]["metadata"]
    assert int(metadata["span"]) == DAY_NUMBERS[day]


def test_an_older_server_is_named_and_no_day_is_guessed(
    read: Read, tmp_path: Path
) -> None:
    ran = read(tmp_path, "yesterday", None)
    assert ran.state == "failed"
    last = ran.log.strip().splitlines()[-1]
    assert last.startswith(
        f"{STEP} failed: The span 'yesterday' is counted from the day"
    )
    assert "2.17" in last


# Days since 1970, as TFX numbers spans of dates.
DAY_NUMBERS = {"2026-03-01": 20513, "2026-03-02": 20514}
