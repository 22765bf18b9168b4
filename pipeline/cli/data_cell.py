"""The data that a run or a version was made of, in a cell of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from components.movielens_example_gen.inputs.span_folders import DATED, span_name

# Spans that are dates are days since 1970. MovieLens begins in 1995, and nobody numbers
# so many spans.
_FIRST_DAY: Final = 9131


def data_cell(data: str | None, spans: Sequence[Any]) -> str:
    """The format of the files, and the spans if there are several."""
    if len(spans) > 1:
        return f"{data}, spans {_name(spans[0])} to {_name(spans[-1])}"
    return data or "-"


def _name(span: int) -> str:
    return span_name(span, DATED) if span >= _FIRST_DAY else str(span)
