"""How far long work is: share, rate and time left."""

from __future__ import annotations

import gzip
import io
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from components.movielens_example_gen.readers import rating_files
from pipeline.local import run_view
from pipeline.local.live_run import LiveRun
from pipeline.local.run_view import RunView
from tests.fixtures.movielens_files import write_csv
from tests.fixtures.raw_data import read
from trainer import progress


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[progress.Event]]:
    """All events of the kind `work`: none is left out for coming too early."""
    found: list[progress.Event] = []

    def receive(event: progress.Event) -> None:
        if event["kind"] == "work":
            found.append(event)

    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_EVENTS", 0.0)
    with progress.received_by(receive):
        yield found


class Clock:
    """A clock that the test moves."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        patch.setattr(progress.time, "monotonic", lambda: self.now)


def test_share_rate_and_time_left_are_measured(
    monkeypatch: pytest.MonkeyPatch,
    events: list[progress.Event],
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock(monkeypatch)
    work = progress.Work("ratings")
    with caplog.at_level("INFO"):
        clock.now += 10
        work.update(0.1, 5_000_000)
        clock.now += 10
        work.update(0.25, 10_000_000)
    first, second = events
    assert progress.work_text(first) == "10 %, 500,000 ratings/s, 0:01:30 left"
    assert progress.work_text(second) == "25 %, 500,000 ratings/s, 0:01:00 left"
    # The log of a run, or of a pod, has a line now and then.
    lines = [r.message for r in caplog.records if r.name == "trainer.work"]
    assert lines == [progress.work_text(second)]


def test_what_was_done_before_does_not_count_for_the_time_left(
    monkeypatch: pytest.MonkeyPatch, events: list[progress.Event]
) -> None:
    clock = Clock(monkeypatch)
    work = progress.Work("targets", start=0.5)
    work.update(0.5, 0)
    clock.now += 10
    work.update(0.75, 1000)
    assert [event["left"] for event in events[1:]] == [10]


def test_a_share_that_is_not_known_is_left_out(
    monkeypatch: pytest.MonkeyPatch, events: list[progress.Event]
) -> None:
    clock = Clock(monkeypatch)
    work = progress.Work("queries")
    clock.now += 2
    work.update(None, 100)
    assert progress.work_text(events[0]) == "50 queries/s"


@pytest.mark.parametrize("is_gzip", [False, True])
def test_reading_ratings_reports_to_the_end_of_all_files(
    tmp_path: Path,
    is_gzip: bool,
    events: list[progress.Event],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rating_files, "BLOCK_BYTES", 1000)
    rows = [(u, m, 4.0, u * m) for u in range(1, 31) for m in range(1, 31)]
    folder = write_csv(tmp_path, rows, movies=range(1, 31))
    if is_gzip:
        plain = folder / "ratings.csv"
        (folder / "ratings.csv.gz").write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()
    read(folder)
    shares = [event["share"] for event in events]
    assert len(shares) > 5
    assert shares == sorted(shares) and 0 < shares[0] and shares[-1] == 1.0
    assert {event["unit"] for event in events} == {"ratings"}


def test_a_log_shows_how_far_the_running_step_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run_view, "_HEARTBEAT_SECONDS", 0.0)
    output = io.StringIO()
    view, run = RunView(Console(file=output, width=200)), LiveRun("")
    for event in (
        {"kind": "pipeline", "nodes": ["Trainer", "Evaluator"]},
        {"kind": "step", "id": "Trainer", "state": "running", "time": 1.0},
        {"kind": "work", "share": 0.34, "rate": 61e3, "unit": "targets", "left": 80.2},
        {"kind": "step", "id": "Trainer", "state": "done", "seconds": 3.0},
        {"kind": "step", "id": "Evaluator", "state": "running", "time": 1.0},
    ):
        run.update(event)
        view.show(event, run)
    lines = output.getvalue().splitlines()
    working = [text for text in lines if "34 %, 61,000 targets/s, 0:01:20 left" in text]
    assert working and all("Trainer" in text for text in working)
    assert any("Evaluator" in text for text in lines)


def test_the_evaluator_reports_ranked_queries(events: list[progress.Event]) -> None:
    class Batch:
        num_rows = 25

    from components.evaluator.tfma_evaluation import _ReportProgress

    passed = pickle.loads(pickle.dumps(_ReportProgress(total=50)))  # as Beam does
    batch = Batch()
    assert [list(passed.process(batch)) for _ in range(2)] == [[batch], [batch]]
    assert [(e["share"], e["unit"]) for e in events] == [
        (0.5, "queries"),
        (1.0, "queries"),
    ]


@pytest.mark.slow
def test_an_epoch_reports_its_share_before_it_ends(
    events: list[progress.Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer import fitting

    monkeypatch.setattr(fitting, "_SECONDS_BETWEEN_EVENTS", 0.0)
    callback = fitting.ProgressCallback(epochs=2, done=1, targets=1000)
    callback.set_params({"steps": 4})
    callback.on_train_begin()
    callback.on_epoch_begin(1)
    for batch in range(4):
        callback.on_train_batch_end(batch, {"loss": 1.0})
    assert [event["share"] for event in events] == [0.625, 0.75, 0.875, 1.0]
    assert all(event["rate"] > 0 for event in events[1:])


@pytest.mark.slow
def test_an_early_stop_leaves_no_estimate(
    events: list[progress.Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer import fitting

    monkeypatch.setattr(fitting, "_SECONDS_BETWEEN_EVENTS", 0.0)
    callback = fitting.ProgressCallback(epochs=20, targets=1000)
    callback.set_params({"steps": 4})
    callback.on_train_begin()
    callback.on_epoch_begin(0)
    callback.on_train_batch_end(0, {"loss": 1.0})
    callback.on_train_end()
    assert [progress.work_text(event) != "" for event in events] == [True, False]
