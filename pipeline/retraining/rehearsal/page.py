"""Renders the result of a rehearsal as an HTML page that loads nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

import components.report_gen
from pipeline.retraining.rehearsal import charts
from pipeline.retraining.rehearsal.folder import COLD, WARM, Record
from pipeline.retraining.rehearsal.results import RANKERS
from trainer.text import printable_lines


def render(record: Record, name: str) -> str:
    """Returns the page.

    Args:
      record: Of a finished rehearsal.
      name: Of the rehearsal.
    """
    loader = jinja2.FileSystemLoader(
        [Path(__file__).parent, *components.report_gen.__path__]
    )
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        finalize=_finalized,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["number"] = _number
    result = record.result
    metrics = result["metrics"][:2]
    return environment.get_template("rehearsal.html.jinja").render(
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


def _finalized(value: Any) -> Any:
    is_text = isinstance(value, str) and not isinstance(value, Markup)
    return printable_lines(value) if is_text else value


def _number(value: float | None, digits: int = 4, sign: str = "") -> str:
    return "–" if value is None else f"{value:{sign},.{digits}f}"
