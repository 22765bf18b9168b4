"""Shows a run while it goes on: live on a terminal, plain lines everywhere else."""

from __future__ import annotations

import time
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.spinner import Spinner
from rich.text import Text

from pipeline.local.live_run import LiveRun
from trainer.progress import Event, work_text
from trainer.tuning.hyperparameters import format_values

_NAME_WIDTH: Final = 28
_HEARTBEAT_SECONDS: Final = 15.0
_STYLES: Final = {"done": "green", "cached": "cyan", "failed": "bold red"}
_IMPORT_LABEL: Final = "TensorFlow and TFX"


class RunView:
    """Prints a line for each step, epoch or trial that ended.

    On a terminal the running step counts its seconds below these lines, with a progress
    bar in place of the epochs. Elsewhere a line now and then shows what still runs.
    """

    def __init__(self, console: Console) -> None:
        """Shows on a `pipeline.cli.console.PlainConsole`; lines are never wrapped."""
        self._console = console
        self._started = self._last = time.monotonic()
        self._trial = ""  # the trial that runs, in a search
        self._work = ""  # how far the running step is
        self._spinner = Spinner("dots", style="cyan")
        self._progress = Progress(
            TextColumn(
                "    {task.description}epoch {task.completed:.1f}/{task.total:.0f}",
                markup=False,
            ),
            BarColumn(bar_width=30),
            TextColumn(
                "loss {task.fields[loss]:.4f}   {task.fields[measured]}", markup=False
            ),
            console=console,
        )
        self._bar: TaskID | None = None
        self._live: Live | None = None

    def __enter__(self) -> RunView:
        """Announces the imports, which take the first seconds."""
        self._started = time.monotonic()
        if self._console.is_terminal:
            self._live = Live(
                console=self._console, refresh_per_second=10, transient=True
            )
            self._live.start()
            self.tick(LiveRun(""))
        else:
            self._print(f"  starting {_IMPORT_LABEL} ...")
        return self

    def __exit__(self, *error: object) -> None:
        """Restores the terminal."""
        if self._live is not None:
            self._live.update("")
            self._live.stop()

    def fact(self, label: str, value: object) -> None:
        """Prints a label and a value."""
        self._print(f"{label:<10}{value}")

    def show(self, event: Event, run: LiveRun) -> None:
        """Shows an event, which `run` already reflects."""
        match event:
            case {"kind": "pipeline"}:
                self._print(self._import_line("started"))
            case {"kind": "step", "state": state} if state != "running":
                self._end_training()
                step = run.steps[event["id"]]
                self._print(_line(step.id, step.state, step.seconds, step.headline))
            case {"kind": "work"}:
                self._work = work_text(event)
            case {"kind": "train", "text": text}:
                self._print(f"    {text}")
            case {"kind": "train"}:
                self._train(event)
            case {"kind": "trial", "state": "running"}:
                self._end_training()
                self._trial = f"trial {event['trial']}/{event['trials']} "
            case {"kind": "trial"}:
                self._print(_trial_line(event))
        self.tick(run)

    def tick(self, run: LiveRun) -> None:
        """Shows what runs now; called about ten times a second."""
        if self._live is None:
            if time.monotonic() - self._last >= _HEARTBEAT_SECONDS:
                self._print(self._running_line(run))
        elif run.running is None and run.steps:
            self._live.update("")
        else:
            self._spinner.update(text=self._running_line(run)[2:])
            bar = [] if self._bar is None else [self._progress]
            self._live.update(Group(self._spinner, *bar))

    def _train(self, event: Event) -> None:
        """Moves the progress bar, or prints an epoch outside of a search."""
        if self._live is not None:
            if self._bar is None:
                self._bar = self._progress.add_task(
                    self._trial, total=event["epochs"], loss=event["loss"], measured=""
                )
            done = event["epoch"]
            self._progress.update(self._bar, completed=done, loss=event["loss"])
            if "recall" in event:
                self._progress.update(self._bar, measured=_measured(event))
        elif not self._trial and "recall" in event:
            self._print(
                f"    epoch {event['epoch']}/{event['epochs']}   "
                f"loss {event['loss']:.4f}   {_measured(event)}{event['seconds']:.1f} s"
            )

    def _end_training(self) -> None:
        if self._bar is not None:
            self._progress.remove_task(self._bar)
        self._bar, self._trial, self._work = None, "", ""

    def _running_line(self, run: LiveRun) -> Text:
        """The step that runs now; before the first, the imports."""
        if run.running is None:
            return self._import_line("starting")
        seconds = time.time() - run.running.started
        return _line(run.running.id, "running", seconds, self._work)

    def _import_line(self, state: str) -> Text:
        return _line(_IMPORT_LABEL, state, time.monotonic() - self._started)

    def _print(self, text: Text | str) -> None:
        self._last = time.monotonic()
        self._console.print(text, soft_wrap=True)


def _line(name: str, state: str, seconds: float, headline: str = "") -> Text:
    """One line of a step."""
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
        result = f"ndcg {event['ndcg']:.4f} ± {event['standard_error']:.4f}"
    return (
        f"    trial {event['trial']}/{event['trials']}   {result}   "
        f"{event['seconds']:.1f} s   {format_values(event['values'])}"
    )


def _measured(event: Event) -> str:
    """The validation slice after an epoch, if it was measured."""
    if event["recall"] is None:
        return ""
    return f"recall@10 {event['recall']:.3f}   ndcg {event['ndcg']:.4f}   "
