"""A trial of a search in one line."""

from __future__ import annotations

from trainer.progress import Event
from trainer.tuning.hyperparameters import format_values


def trial_line(event: Event) -> str:
    """One line of a trial: its number, recall and error, seconds and values."""
    result = f"failed: {event['error']}"
    if not event["error"]:
        result = f"recall@10 {event['recall']:.4f} ± {event['standard_error']:.4f}"
    return (
        f"    trial {event['trial']}/{event['trials']}   {result}   "
        f"{event['seconds']:.1f} s   {format_values(event['values'])}"
    )
