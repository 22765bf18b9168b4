"""Renders the result of a rehearsal as an HTML page that loads nothing."""

from __future__ import annotations

from pathlib import Path

import yaml

from components.report_gen.template import environment
from pipeline.retraining.rehearsal import charts
from pipeline.retraining.rehearsal.folder import COLD, WARM, Record
from pipeline.retraining.rehearsal.results import RANKERS


def render(record: Record, name: str) -> str:
    """Returns the page.

    Args:
      record: Of a finished rehearsal.
      name: Of the rehearsal.
    """
    templates = environment(Path(__file__).parent)
    result = record.result
    metrics = result["metrics"][:2]
    return templates.get_template("rehearsal.html.jinja").render(
        name=name,
        record=record,
        result=result,
        labels=charts.LABELS,
        rankers=RANKERS,
        trained=(WARM, COLD),
        quality_charts=[charts.quality(m, result["spans"]) for m in metrics],
        difference_chart=charts.differences(metrics[0], result["spans"]),
        cost_chart=charts.cost(result["spans"]),
        config=yaml.safe_dump(record.key["config"], sort_keys=False),
    )
