"""Shows a run while it goes on: live on a terminal, plain lines everywhere else."""

from __future__ import annotations

import abc
import time
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.spinner import Spinner
from rich.text import Text

from pipeline.local.live_run import LiveRun
from pipeline.runs.run_record import Step
from trainer.progress import Event
from trainer.tuning.hyperparameters import format_values

_NAME_WIDTH: Final = 28
_HEARTBEAT_SECONDS: Final = 15.0
_STYLES: Final = {"done": "green", "cached": "cyan", "failed": "bold red"}
_IMPORT_LABEL: Final = "TensorFlow and TFX"


class RunView(abc.ABC):
    """Shows a run on a console; see `pipeline.local.session.RunObserver`."""

    def __init__(self, console: Console) -> None:
        """Shows on the console."""
        self._console = console
        self._started = time.monotonic()

    @abc.abstractmethod
    def tick(self, run: LiveRun) -> None:
        """Called about ten times a second while nothing happens."""

    @abc.abstractmethod
    def _train(self, event: Event) -> None:
        """Shows how far the training is."""

    @abc.abstractmethod
    def _begin_trial(self, event: Event) -> None:
        """Called before the training of a trial."""

    def __enter__(self) -> RunView:
        """Starts the clock."""
        self._started = time.monotonic()
        return self

    @abc.abstractmethod
    def __exit__(self, *error: object) -> None:
        """Ends what `__enter__` started."""

    def fact(self, label: str, value: object) -> None:
        """Prints a label and a value."""
        self._print(f"{label:<10}{value}")

    def show(self, event: Event, run: LiveRun) -> None:
        """Shows an event, which `run` already reflects."""
        if event["kind"] == "pipeline":
            self._print(self._import_line("started"))
        elif event["kind"] == "step" and event["state"] != "running":
            self._end_step(run.steps[event["id"]])
        elif event["kind"] == "train" and "text" in event:
            self._print(f"    {event['text']}")
        elif event["kind"] == "train":
            self._train(event)
        elif event["kind"] == "trial" and event["state"] == "running":
            self._begin_trial(event)
        elif event["kind"] == "trial":
            self._print(_trial_line(event))
        self.tick(run)

    def _end_step(self, step: Step) -> None:
        self._print(_step_line(step.id, step.state, step.seconds, step.headline))

    def _running_line(self, run: LiveRun) -> Text:
        """The step that runs now; before the first, the imports."""
        if run.running is None:
            return self._import_line("starting")
        seconds = time.time() - run.running.started
        return _step_line(run.running.id, "running", seconds)

    def _import_line(self, state: str) -> Text:
        return _step_line(_IMPORT_LABEL, state, time.monotonic() - self._started)

    def _print(self, text: Text | str) -> None:
        self._console.print(text, soft_wrap=True, highlight=False, markup=False)


def make_view(console: Console) -> RunView:
    """A live view on a terminal, a plain one for logs and pipes."""
    return LiveView(console) if console.is_terminal else PlainView(console)


def _step_line(name: str, state: str, seconds: float, headline: str = "") -> Text:
    """One line of a step: name, state, seconds and headline."""
    return Text.assemble(
        "  ",
        name.ljust(_NAME_WIDTH),
        (state.ljust(8), _STYLES.get(state, "")),
        f"{seconds:6.1f} s",
        f"   {headline}" if headline else "",
    )


def _trial_line(event: Event) -> str:
    """One line of a trial: number, recall or error, seconds and values."""
    result = f"failed: {event['error']}"
    if not event["error"]:
        result = f"recall@10 {event['recall']:.4f} ± {event['standard_error']:.4f}"
    return (
        f"    trial {event['trial']}/{event['trials']}   {result}   "
        f"{event['seconds']:.1f} s   {format_values(event['values'])}"
    )


def _recall(event: Event) -> str:
    """Recall on the validation slice after an epoch, if it was measured."""
    recall = event["recall"]
    return "" if recall is None else f"recall@10 {recall:.3f}   "


class PlainView(RunView):
    """A line for each step, epoch or trial that ended, and a heartbeat in between."""

    def __init__(self, console: Console) -> None:
        """Prints to the console; lines are never wrapped."""
        super().__init__(console)
        self._last = self._started
        self._in_trial = False

    def __enter__(self) -> PlainView:
        """Announces the imports, which take the first seconds."""
        super().__enter__()
        self._print(f"  starting {_IMPORT_LABEL} ...")
        return self

    def __exit__(self, *error: object) -> None:
        """Has nothing to end."""

    def tick(self, run: LiveRun) -> None:
        """Prints what is still running if nothing was printed for a while."""
        if time.monotonic() - self._last >= _HEARTBEAT_SECONDS:
            self._print(self._running_line(run))

    def _train(self, event: Event) -> None:
        """Prints each epoch once it is over; in a search, only whole trials."""
        if not self._in_trial and "recall" in event:
            self._print(
                f"    epoch {event['epoch']}/{event['epochs']}   "
                f"loss {event['loss']:.4f}   {_recall(event)}{event['seconds']:.1f} s"
            )

    def _begin_trial(self, event: Event) -> None:
        self._in_trial = True

    def _end_step(self, step: Step) -> None:
        self._in_trial = False
        super()._end_step(step)

    def _print(self, text: Text | str) -> None:
        self._last = time.monotonic()
        super()._print(text)


class LiveView(RunView):
    """Finished steps scroll up; below them the running one counts its seconds."""

    def __init__(self, console: Console) -> None:
        """Draws on a terminal."""
        super().__init__(console)
        self._live = Live(console=console, refresh_per_second=10, transient=True)
        self._spinner = Spinner("dots", style="cyan")
        self._progress = Progress(
            TextColumn(
                "    {task.description}epoch {task.completed:.1f}/{task.total:.0f}"
            ),
            BarColumn(bar_width=30),
            TextColumn("loss {task.fields[loss]:.4f}   {task.fields[recall]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=console,
        )
        self._task: TaskID | None = None
        self._trial = ""

    def __enter__(self) -> LiveView:
        """Starts to draw."""
        super().__enter__()
        self._live.start()
        self.tick(LiveRun(""))
        return self

    def __exit__(self, *error: object) -> None:
        """Restores the terminal."""
        self._live.update("")
        self._live.stop()

    def tick(self, run: LiveRun) -> None:
        """Draws what runs now."""
        if run.running is None and run.steps:
            self._live.update("")
            return
        self._spinner.update(text=self._running_line(run)[2:])
        parts: list[RenderableType] = [self._spinner]
        if self._task is not None:
            parts.append(self._progress)
        self._live.update(Group(*parts))

    def _begin_trial(self, event: Event) -> None:
        self._remove_bar()
        self._trial = f"trial {event['trial']}/{event['trials']} "

    def _end_step(self, step: Step) -> None:
        self._remove_bar()
        self._trial = ""
        super()._end_step(step)

    def _remove_bar(self) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = None

    def _train(self, event: Event) -> None:
        """Moves the progress bar."""
        if self._task is None:
            self._task = self._progress.add_task(
                self._trial, total=event["epochs"], loss=event["loss"], recall=""
            )
        self._progress.update(self._task, completed=event["epoch"], loss=event["loss"])
        if "recall" in event:
            self._progress.update(self._task, recall=_recall(event))
