"""The message: what a person reads on a phone about one retraining."""

from __future__ import annotations

import datetime
import math
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.retraining.outcome import Outcome, Status
from pipeline.secret_text import redacted
from trainer.text import printable

_HEADLINES: Final = {
    Status.PUSHED: "a new model is live",
    Status.AWAITING_APPROVAL: "a model waits for approval",
    Status.NOT_BLESSED: "the new model was not good enough",
    Status.REFUSED: "the data was refused",
    Status.FAILED: "the retraining FAILED",
    Status.NOTHING_TO_DO: "nothing to do",
    Status.LOCKED: "another run used the workspace",
}
# What a person looks at first; others only if none of these was computed.
_METRICS: Final = ("recall@10", "ndcg@10", "hit_rate@10", "mrr")
_MAX_REASONS: Final = 5
_MAX_LINE: Final = 300


@dataclass(frozen=True)
class Message:
    """A message in plain text; every line is printable, short and free of secrets.

    Attributes:
      title: One line: pipeline, span, what happened.
      paragraphs: Lines of each paragraph.
    """

    title: str
    paragraphs: Sequence[Sequence[str]]

    def body(self) -> str:
        """The text below the title."""
        return "\n\n".join("\n".join(lines) for lines in self.paragraphs)

    def text(self) -> str:
        """The whole text."""
        return f"{self.title}\n\n{self.body()}\n"


def compose(outcome: Outcome) -> Message:
    """Writes the message about an outcome."""
    span = f" {outcome.span}" if outcome.span else ""
    title = f"{outcome.pipeline}{span}: {_HEADLINES[outcome.status]}"
    if outcome.failed_step:
        title += f" in {outcome.failed_step}"
    paragraphs = (
        _reasons(outcome),
        _metrics(outcome.metrics),
        _live(outcome),
        _next(outcome),
        _origin(outcome),
    )
    shown = [[_line(line) for line in lines] for lines in paragraphs]
    return Message(_line(title), [lines for lines in shown if lines])


def marked(message: Message, mark: str) -> Message:
    """The message with a word before its title."""
    return Message(f"{mark}: {message.title}", message.paragraphs)


def _line(text: str) -> str:
    text = redacted(printable(text)).strip()
    return text if len(text) <= _MAX_LINE else f"{text[: _MAX_LINE - 3]}..."


def _reasons(outcome: Outcome) -> Iterator[str]:
    shown = outcome.reasons[:_MAX_REASONS]
    yield from (f"- {reason}" for reason in shown)
    if len(outcome.reasons) > len(shown):
        yield f"- and {len(outcome.reasons) - len(shown)} more"


def _metrics(found: Mapping[str, Mapping[str, float | None] | None]) -> Iterator[str]:
    metrics = {
        model: {
            name: value
            for name, value in values.items()
            if value is not None and math.isfinite(value)
        }
        for model, values in found.items()
        if values
    }
    candidate = metrics.get("candidate", {})
    names = [name for name in _METRICS if name in candidate]
    for name in names or sorted(candidate)[: len(_METRICS)]:
        others = (("live", "baseline"), ("popularity", "popularity"))
        compared = [
            f"{label} {values[name]:.4f}"
            for label, key in others
            if name in (values := metrics.get(key, {}))
        ]
        beside = f" ({', '.join(compared)})" if compared else ""
        yield f"{name}: {candidate[name]:.4f}{beside}"


def _live(outcome: Outcome) -> Iterator[str]:
    live, previous = outcome.live_version, outcome.previous_version
    if live is None:
        if outcome.workspace:  # in a cluster it may be unknown
            yield "Live now: no model"
    elif live == previous:
        yield f"Live now: version {live}, as before"
    else:
        before = f", before: {previous}" if previous else ""
        yield f"Live now: version {live}{before}"


def _next(outcome: Outcome) -> Iterator[str]:
    """The command for what comes next; in a cluster the report is the run's page."""
    if not outcome.workspace:
        if outcome.report:
            yield f"Next: open {outcome.report}"
        return
    run = [outcome.run_id] if outcome.run_id else []
    see = ("See why", ["report", *run]) if run else None
    commands = {
        Status.PUSHED: ("Take it back", ["rollback"]),
        Status.AWAITING_APPROVAL: ("Approve", ["approve", *run]),
        Status.NOT_BLESSED: see,
        Status.REFUSED: see,
        Status.FAILED: see,
    }
    if found := commands.get(outcome.status):
        label, words = found
        command = shlex.join(["two-tower", *words, "--workspace", outcome.workspace])
        yield f"{label}: {command}"
    if outcome.status in (Status.REFUSED, Status.FAILED):
        yield "Repair the cause and start it again: what has ended is cached"


def _origin(outcome: Outcome) -> Iterator[str]:
    if outcome.report and outcome.workspace:
        yield f"Report: {outcome.report}"
    if outcome.run_id:
        yield f"Run: {outcome.run_id}"
    if outcome.started:
        took = datetime.timedelta(seconds=round(outcome.seconds))
        started = re.sub(r"\.[0-9]+", "", outcome.started)
        yield f"Started: {started} by {outcome.trigger}; took {took}"
