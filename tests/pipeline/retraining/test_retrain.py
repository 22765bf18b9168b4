"""A retraining from the lock to its outcome, with a stub in place of the steps."""

from __future__ import annotations

import datetime
import json
import signal
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from components.data_gate import UNFIT
from pipeline.cli.tables import make_console
from pipeline.config import DataConfig, PipelineConfig
from pipeline.local.live_run import LiveRun
from pipeline.local.run_view import RunView
from pipeline.retraining.outcome import Outcome, Status
from pipeline.retraining.outcome_log import read_outcomes
from pipeline.retraining.request import Display, Request
from pipeline.retraining.retrain import retrain
from pipeline.retraining.spans import CatchUp, Wanted
from pipeline.runs.summary import Summary
from pipeline.runs.workspace import RunFiles, Workspace
from pipeline.runs.workspace_lock import LockedError
from tests.fixtures import runner_stub
from tests.fixtures.command import error_line, two_tower
from tests.fixtures.movielens_files import write_csv
from tests.fixtures.served_versions import make_model
from trainer.errors import UsageError, UserError

NOON = datetime.datetime(2026, 3, 10, 12, tzinfo=datetime.timezone.utc)


class Shown(Display):
    """Keeps what is shown."""

    def __init__(self, view: type[RunView] = RunView) -> None:
        super().__init__(lambda: view(make_console()))
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def ended(
        self, outcome: Outcome, summary: Summary | None, files: RunFiles | None
    ) -> None:
        assert (summary is None) == (outcome.run_id is None)


class Case:
    """A folder of spans, and a workspace."""

    def __init__(self, folder: Path) -> None:
        self.spans = folder / "spans"
        self.workspace = folder / "ws"
        self.behave({})

    def behave(self, behaviour: Mapping[str, str]) -> None:
        """Says how the run of each span ends."""
        self.spans.mkdir(exist_ok=True)
        (self.spans / "behaviour.json").write_text(json.dumps(behaviour))

    def span(self, number: int, rows: int = 3) -> None:
        ratings = [(user, 1, 4.0, number * 100) for user in range(rows)]
        write_csv(self.spans / f"span-{number}", ratings)

    def retrain(
        self,
        span: str | None = None,
        catch_up: CatchUp | None = None,
        view: type[RunView] = RunView,
        **fields: Any,
    ) -> list[Outcome]:
        given = {"data_dir": self.spans, "config": PipelineConfig(), **fields}
        self.shown = Shown(view)
        request = Request(
            workspace=self.workspace,
            wanted=Wanted(span, catch_up),
            moment=NOON,
            **given,
        )
        return retrain(request, self.shown)

    @property
    def outcomes(self) -> list[tuple[Status, str | None]]:
        return [(o.status, o.span) for o in read_outcomes(self.workspace)]


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    handlers = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP)}
    runner_stub.use(monkeypatch, tmp_path)
    yield Case(tmp_path)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_catching_up_stops_where_a_run_fails_and_goes_on_there(case: Case) -> None:
    for number in (1, 2, 3, 4):
        case.span(number, rows=number)
    case.behave({"2": "pushed", "3": "Trainer fails: no memory"})
    case.retrain(catch_up="all")
    assert case.outcomes == [
        (Status.NOT_BLESSED, "span-1"),
        (Status.PUSHED, "span-2"),
        (Status.FAILED, "span-3"),
    ]
    failed = read_outcomes(case.workspace)[-1]
    assert failed.reasons == ["no memory. Do something."]
    assert (failed.failed_step, failed.live_version) == ("Trainer", "1")
    case.behave({"4": "pushed"})
    last = case.retrain(catch_up="all")[-1]
    assert case.outcomes[3:] == [
        (Status.NOT_BLESSED, "span-3"),
        (Status.PUSHED, "span-4"),
    ]
    assert (last.previous_version, last.live_version) == ("1", "2")
    assert not case.shown.warnings


def test_an_unfit_span_is_refused_and_passed_over(case: Case) -> None:
    case.span(1)
    case.span(2, rows=0)
    case.span(3, rows=5)
    case.retrain(catch_up="all")
    assert case.outcomes == [
        (Status.NOT_BLESSED, "span-1"),
        (Status.REFUSED, "span-2"),
        (Status.NOT_BLESSED, "span-3"),
    ]


def test_a_refusal_of_the_gate_is_no_failure(case: Case) -> None:
    case.span(1)
    case.behave({"1": f"DataGate fails: {UNFIT}: train: ratings must be 5"})
    assert case.retrain()[0].status == Status.REFUSED
    case.behave({"1": "DataGate fails: no space left on the device"})
    assert case.retrain()[0].status == Status.FAILED


def test_the_same_span_twice_is_nothing_to_do(case: Case) -> None:
    case.span(1)
    case.behave({"1": "pushed"})
    case.retrain()
    case.behave({"1": "cached"})
    [again] = case.retrain()
    assert again.status == Status.NOTHING_TO_DO
    assert "nothing has changed since this was trained" in again.reasons[0]


def test_a_span_older_than_the_newest_that_was_trained_is_left_alone(
    case: Case,
) -> None:
    case.span(1)
    case.span(2, rows=4)
    case.retrain()
    [late] = case.retrain("1")
    assert (late.status, late.run_id) == (Status.NOTHING_TO_DO, None)
    assert "span-1 is older than span-2" in late.reasons[0]


@pytest.mark.parametrize("late", [2, 3])
def test_data_that_is_late_or_rewritten_is_trained_on_with_the_newest_span(
    case: Case, late: int
) -> None:
    case.span(1)
    case.span(3, rows=4)
    config = PipelineConfig(data=DataConfig(missing_spans="skip"))
    case.retrain(config=config)
    case.span(late, rows=7)
    [outcome] = case.retrain(catch_up="all", config=config)
    assert (outcome.status, outcome.span) == (Status.NOT_BLESSED, "span-3")
    assert "a span was rewritten, or arrived late" in outcome.reasons[-1]
    [again] = case.retrain(config=config)
    assert not any("rewritten" in reason for reason in again.reasons)


def test_a_killed_run_is_a_failure_that_the_same_command_repeats(case: Case) -> None:
    case.span(1)
    case.behave({"1": "killed in Trainer"})
    [killed] = case.retrain()
    assert (killed.status, killed.failed_step) == (Status.FAILED, "Trainer")
    assert "killed by the system" in killed.reasons[0]
    case.behave({"1": "pushed"})
    assert case.retrain()[0].status == Status.PUSHED


def test_a_push_by_a_run_that_was_killed_is_reported_once(case: Case) -> None:
    case.span(1)
    case.behave({"1": "killed after the push"})
    assert case.retrain()[0].status == Status.FAILED
    case.behave({"1": "pushed 7"})  # as Pusher says of a model that it pushed before
    [pushed] = case.retrain()
    assert (pushed.status, pushed.previous_version) == (Status.PUSHED, "6")
    assert pushed.live_version == "7"
    assert case.retrain()[0].status != Status.PUSHED


def test_an_interrupted_retraining_is_an_outcome_with_its_run(case: Case) -> None:
    case.span(1)
    case.behave({"1": "waits in Trainer"})

    class Impatient(RunView):
        def tick(self, run: LiveRun) -> None:
            if run.running is not None and run.running.id == "Trainer":
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        case.retrain(view=Impatient)
    [outcome] = read_outcomes(case.workspace)
    assert (outcome.status, outcome.span) == (Status.FAILED, "span-1")
    assert (outcome.failed_step, outcome.run_id is None) == ("Trainer", False)
    assert outcome.reasons == [
        "the run was interrupted. Run it again: what ended is cached."
    ]


def test_an_interruption_while_old_runs_are_removed_reports_nothing_twice(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    case.span(1)
    case.behave({"1": "pushed"})
    monkeypatch.setattr("pipeline.retraining.retrain.retain", interrupted)
    with pytest.raises(KeyboardInterrupt):
        case.retrain()
    assert case.outcomes == [(Status.PUSHED, "span-1")]


@pytest.mark.parametrize("is_waiting", [False, True])
def test_of_two_schedulers_the_second_waits_or_leaves(
    case: Case, is_waiting: bool
) -> None:
    case.span(1)
    case.behave({"1": "pushed"})
    first_has_it, first_may_go = threading.Event(), threading.Event()
    workspace = Workspace.open(case.workspace, create=True)

    def first() -> None:
        with workspace.lock():
            first_has_it.set()
            first_may_go.wait(10)

    thread = threading.Thread(target=first)
    thread.start()
    first_has_it.wait()
    try:
        if is_waiting:
            threading.Timer(0.5, first_may_go.set).start()
            [outcome] = case.retrain(wait=60)
            assert outcome.status == Status.PUSHED
        else:
            with pytest.raises(LockedError):
                case.retrain(wait=0.3)
            assert case.outcomes == [(Status.LOCKED, None)]
    finally:
        first_may_go.set()
        thread.join()


def test_what_comes_to_no_run_is_an_outcome_too(case: Case) -> None:
    case.span(1)
    with pytest.raises(UserError, match="span-7 is missing"):
        case.retrain("7")
    with pytest.raises(UserError, match="is not a folder"):
        case.retrain(data_dir=case.spans / "unmounted")
    (case.spans / "2026-03-01").mkdir()
    with pytest.raises(UserError, match="two patterns"):
        case.retrain()
    outcomes = read_outcomes(case.workspace)
    assert [(o.status, o.span) for o in outcomes] == [
        (Status.FAILED, "span-7"),
        (Status.FAILED, None),
        (Status.FAILED, None),
    ]
    assert "Found span-1" in outcomes[0].reasons[0]
    # What is live is reported all the same.
    make_model(case.workspace / "serving" / "7")
    with pytest.raises(UserError, match="is not a folder"):
        case.retrain(data_dir=case.spans / "unmounted")
    last = read_outcomes(case.workspace)[-1]
    assert (last.previous_version, last.live_version) == ("7", "7")


def test_the_command_leaves_a_workspace_in_use_with_its_own_code(
    tmp_path: Path,
) -> None:
    write_csv(tmp_path / "data", [(1, 1, 4.0, 100)])
    options = ("--data-dir", "data", "--workspace", "ws")
    with Workspace.open(tmp_path / "ws", create=True).lock():
        done = two_tower("retrain", *options, cwd=tmp_path)
    line = error_line(done, 75)
    assert "Another run (process " in line
    assert "locked" in done.stdout


def test_an_outcome_that_cannot_be_sent_or_recorded_is_a_warning(case: Case) -> None:
    case.span(1)
    case.workspace.mkdir()
    (case.workspace / "retrainings.jsonl").mkdir()
    with pytest.raises(UserError, match="Is a directory"):
        case.retrain()
    assert case.shown.warnings == ["The outcome cannot be recorded: Is a directory"]


def test_the_seconds_of_a_run_are_those_of_its_span(case: Case) -> None:
    case.span(1)
    case.span(2, rows=2)
    for outcome in case.retrain(catch_up="all"):
        assert outcome.run_id is not None
        files = RunFiles(case.workspace / "runs" / outcome.run_id)
        wall = json.loads(files.summary.read_bytes())["wall_seconds"]
        assert 0 < wall <= outcome.seconds + 0.1  # two clocks


def test_old_runs_that_cannot_be_removed_are_a_warning(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("ML Metadata is locked")

    case.span(1)
    monkeypatch.setattr("pipeline.retraining.retrain.retain", fail)
    [outcome] = case.retrain()
    assert case.outcomes == [(outcome.status, "span-1")]
    [warning] = case.shown.warnings
    assert warning == "Old runs were not all removed: ML Metadata is locked"


def test_a_configured_window_is_kept(case: Case) -> None:
    for number in (1, 2, 3):
        case.span(number, rows=number)
    config = PipelineConfig(data=DataConfig(span_window=2, last_span="1"))
    [outcome] = case.retrain(config=config)
    assert outcome.span == "span-3" and outcome.run_id is not None
    text = (case.workspace / "runs" / outcome.run_id / "config.yaml").read_text()
    assert "last_span: '3'" in text and "span_window: 2" in text


def test_without_a_reason_there_is_no_run(case: Case) -> None:
    case.span(1)
    case.behave({"1": "pushed"})
    [first] = case.retrain(if_needed=True)
    assert (first.status, first.trigger) == (Status.PUSHED, "no live model")
    [second] = case.retrain(if_needed=True)
    assert (second.status, second.run_id) == (Status.NOTHING_TO_DO, None)
    assert second.reasons == [
        "no reason: new ratings: the newest span was trained on already"
    ]
    assert (second.live_version, second.trigger) == ("1", "command")


def test_an_edition_without_spans_has_no_new_one(case: Case) -> None:
    write_csv(case.spans, [(1, 1, 4.0, 100)])
    with pytest.raises(UsageError, match="has no spans"):
        case.retrain(if_needed=True)
    assert case.outcomes == [(Status.FAILED, None)]
