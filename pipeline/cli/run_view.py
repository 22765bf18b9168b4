"""Shows a run while it goes on: live on a terminal, plain lines everywhere else."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Final, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.spinner import Spinner
from rich.text import Text

from pipeline.progress import Event
from pipeline.run_state import RunState, Step

_NAME_WIDTH: Final = 28
_HEARTBEAT_SECONDS: Final = 15.0
_STYLES: Final = {"done": "green", "cached": "cyan", "failed": "bold red"}
_IMPORT_LABEL: Final = "TensorFlow and TFX"


class RunView(Protocol):
    """What the run tells its reader about."""

    def __enter__(self) -> RunView:
        """Starts to show."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops to show."""
        ...

    def show(self, event: Event, state: RunState) -> None:
        """Shows an event; `state` has already taken it in."""
        ...

    def tick(self, state: RunState) -> None:
        """Called about ten times a second while nothing happens."""
        ...


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


class PlainView:
    """One line for each thing that ended, and a sign of life in between."""

    def __init__(self, console: Console) -> None:
        """Prints to the console; lines are never wrapped."""
        self._console = console
        self._started = self._last = time.monotonic()
        self._epoch = 0

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

    def show(self, event: Event, state: RunState) -> None:
        """Prints ended steps and epochs."""
        kind = event["kind"]
        if kind == "pipeline":
            seconds = time.monotonic() - self._started
            self._print(line(_IMPORT_LABEL, "started", seconds))
        elif kind == "step" and event["state"] != "running":
            self._print(step_line(state.steps[event["id"]]))
        elif kind == "train" and int(event["epoch"]) > self._epoch:
            self._epoch = int(event["epoch"])
            self._print(
                f"    epoch {self._epoch}/{event['epochs']}   "
                f"loss {event['loss']:.4f}   {event['seconds']:.1f} s"
            )

    def tick(self, state: RunState) -> None:
        """Says what is still running where nothing was said for a while."""
        if time.monotonic() - self._last < _HEARTBEAT_SECONDS:
            return
        step = state.running
        if step is None:
            seconds = time.monotonic() - self._started
            self._print(line(_IMPORT_LABEL, "starting", seconds))
        else:
            self._print(line(step.id, "running", time.time() - step.started))

    def _print(self, text: Text | str) -> None:
        self._last = time.monotonic()
        self._console.print(text, soft_wrap=True, highlight=False, markup=False)


class LiveView:
    """Ended steps scroll up; below them the running one counts its seconds."""

    def __init__(self, console: Console) -> None:
        """Draws on a terminal."""
        self._console = console
        self._live = Live(console=console, refresh_per_second=10, transient=True)
        self._spinner = Spinner("dots", style="cyan")
        self._started = time.monotonic()
        self._progress = Progress(
            TextColumn("    epoch {task.completed:.1f}/{task.total:.0f}"),
            BarColumn(bar_width=30),
            TextColumn("loss {task.fields[loss]:.4f}"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=console,
        )
        self._task: TaskID | None = None

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

    def show(self, event: Event, state: RunState) -> None:
        """Draws ended steps for good, and moves the bar of the training."""
        kind = event["kind"]
        if kind == "pipeline":
            seconds = time.monotonic() - self._started
            self._print(line(_IMPORT_LABEL, "started", seconds))
        elif kind == "step" and event["state"] != "running":
            self._task = None
            self._print(step_line(state.steps[event["id"]]))
        elif kind == "train":
            self._train(event)
        self.tick(state)

    def tick(self, state: RunState) -> None:
        """Draws what runs now."""
        step = state.running
        if step is not None:
            text = line(step.id, "running", time.time() - step.started)
        elif not state.steps:
            seconds = time.monotonic() - self._started
            text = line(_IMPORT_LABEL, "starting", seconds)
        else:
            self._live.update("")
            return
        self._spinner.update(text=text[2:])
        parts: list[RenderableType] = [self._spinner]
        if self._task is not None:
            parts.append(self._progress)
        self._live.update(Group(*parts))

    def _train(self, event: Event) -> None:
        if self._task is None:
            self._task = self._progress.add_task(
                "", total=event["epochs"], loss=event["loss"]
            )
        self._progress.update(self._task, completed=event["epoch"], loss=event["loss"])

    def _print(self, text: Text) -> None:
        self._live.console.print(text, soft_wrap=True)


def step_line(step: Step) -> Text:
    """The line of a step that has ended."""
    return line(step.id, step.state, step.seconds, step.figure)
