"""The history of a workspace as an HTML page that loads nothing from elsewhere."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from components.report_gen.template import environment
from pipeline.runs import history_charts as charts
from pipeline.runs.history_entry import Entry
from pipeline.runs.regressions import METRICS, RULES, Regression


def render(
    entries: Sequence[Entry],
    worse: Mapping[str, Sequence[Regression]],
    faults: Sequence[str],
) -> str:
    """Returns the page.

    Args:
      entries: What is shown, oldest first.
      worse: Name of an entry -> what became worse in it.
      faults: Records that could not be read.
    """
    templates = environment(Path(__file__).parent)
    marks = {
        metric: {name for name, found in worse.items() if metric in _what(found)}
        for metric in METRICS
    }
    drawn = [
        *((m, charts.quality(m, entries, marks[m])) for m in reversed(METRICS)),
        ("Time of a command and of its training", charts.cost(entries)),
        ("The slowest steps", charts.steps(entries)),
        ("Outcomes", charts.outcomes(entries)),
    ]
    evaluated = [entry for entry in entries if entry.candidate]
    pushed = [entry for entry in entries if entry.version]
    return templates.get_template("history.html.jinja").render(
        entries=list(reversed(entries)),
        worse={entry.name: worse.get(entry.name, ()) for entry in entries},
        marked=[e for e in reversed(entries) if worse.get(e.name)],
        charts=[(title, chart) for title, chart in drawn if chart],
        counts=Counter(entry.outcome for entry in entries).most_common(),
        latest=evaluated[-1] if evaluated else None,
        pushed=pushed[-1] if pushed else None,
        faults=faults,
        rules=RULES,
        made_at=f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC",
    )


def _what(found: Sequence[Regression]) -> set[str]:
    return {regression.what for regression in found}
