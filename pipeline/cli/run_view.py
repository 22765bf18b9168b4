"""Shows a run while it goes on: live on a terminal, plain lines everywhere else."""

from __future__ import annotations

import abc
import time
from types import TracebackType
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.spinner import Spinner
from rich.text import Text

from pipeline.cli.trial_line import trial_line
from pipeline.runs.run_state import RunState, Step
from trainer.progress import Event

_NAME_WIDTH: Final = 28
_HEARTBEAT_SECONDS: Final = 15.0
_STYLES: Final = {"done": "green", "cached": "cyan", "failed": "bold red"}
_IMPORT_LABEL: Final = "TensorFlow and TFX"


class RunView(abc.ABC):
    """What the run tells its reader about, while it is used as a context."""

    def __init__(self, console: Console) -> None:
        """Shows on the console."""
        self._console = console
        self._started = time.monotonic()

    @abc.abstractmethod
    def __enter__(self) -> RunView:
        """Says at once what takes the first seconds."""

    @abc.abstractmethod
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops to show."""

    def show(self, event: Event, state: RunState) -> None:
        """Shows an event; `state` has already taken it in."""
        if event["kind"] == "pipeline":
            self._print(self._import_line("started"))
        elif event["kind"] == "step" and event["state"] != "running":
            self._end_step(state.steps[event["id"]])
        elif event["kind"] == "train" and "text" in event:
            self._print(f"    {event['text']}")
        elif event["kind"] == "train":
            self._train(event)
        elif event["kind"] == "trial" and event["state"] == "running":
            self._begin_trial(event)
        elif event["kind"] == "trial":
            self._print(trial_line(event))
        self.tick(state)

    @abc.abstractmethod
    def tick(self, state: RunState) -> None:
        """Called about ten times a second while nothing happens."""

    @abc.abstractmethod
    def _train(self, event: Event) -> None:
        """Shows how far the training is."""

    @abc.abstractmethod
    def _begin_trial(self, event: Event) -> None:
        """Notes which trial of a search the training to come belongs to."""

    def _end_step(self, step: Step) -> None:
        self._print(line(step.id, step.state, step.seconds, step.figure))

    @staticmethod
    def _running_line(step: Step) -> Text:
        return line(step.id, "running", time.time() - step.started)

    def _import_line(self, state: str) -> Text:
        return line(_IMPORT_LABEL, state, time.monotonic() - self._started)

    def _print(self, text: Text | str) -> None:
        self._console.print(text, soft_wrap=True, highlight=False, markup=False)


def make_view(console: Console) -> RunView:
    """A live view on a terminal, a plain one for logs and pipes."""
    return LiveView(console) if console.is_terminal else PlainView(console)


def line(name: str, state: str, seconds: float, figure: str = "") -> Text:
    """One line of a step: name, state, seconds and figure."""
    return Text.assemble(
        "  ",
        name.ljust(_NAME_WIDTH),
        (state.ljust(8), _STYLES.get(state, "")),
        f"{seconds:6.1f} s",
        f"   {figure}" if figure else "",
    )


def _recall(event: Event) -> str:
    """Recall on the validation slice after an epoch, if it was measured."""
    recall = event["recall"]
    return "" if recall is None else f"recall@10 {recall:.3f}   "


class PlainView(RunView):
    """One line for each thing that ended, and a sign of life in between."""

    def __init__(self, console: Console) -> None:
        """Prints to the console; lines are never wrapped."""
        super().__init__(console)
        self._last = self._started
        self._in_trial = False

    def __enter__(self) -> PlainView:
        """Says at once what takes the first seconds."""
        self._print(f"  starting {_IMPORT_LABEL} ...")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to put back."""

    def tick(self, state: RunState) -> None:
        """Says what is still running where nothing was said for a while."""
        if time.monotonic() - self._last < _HEARTBEAT_SECONDS:
            return
        step = state.running
        self._print(self._running_line(step) if step else self._import_line("starting"))

    def _train(self, event: Event) -> None:
        """Prints each epoch once it is over; of a search, whole trials."""
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
    """Ended steps scroll up; below them the running one counts its seconds."""

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
        """Says at once what takes the first seconds."""
        self._live.start()
        self.tick(RunState())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Gives the terminal back."""
        self._live.update("")
        self._live.stop()

    def tick(self, state: RunState) -> None:
        """Draws what runs now."""
        if state.running is None and state.steps:
            self._live.update("")
            return
        step = state.running
        text = self._running_line(step) if step else self._import_line("starting")
        self._spinner.update(text=text[2:])
        parts: list[RenderableType] = [self._spinner]
        if self._task is not None:
            parts.append(self._progress)
        self._live.update(Group(*parts))

    def _begin_trial(self, event: Event) -> None:
        self._forget_task()
        self._trial = f"trial {event['trial']}/{event['trials']} "

    def _end_step(self, step: Step) -> None:
        self._forget_task()
        self._trial = ""
        super()._end_step(step)

    def _forget_task(self) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = None

    def _train(self, event: Event) -> None:
        """Moves the bar."""
        if self._task is None:
            self._task = self._progress.add_task(
                self._trial, total=event["epochs"], loss=event["loss"], recall=""
            )
        self._progress.update(self._task, completed=event["epoch"], loss=event["loss"])
        if "recall" in event:
            self._progress.update(self._task, recall=_recall(event))
