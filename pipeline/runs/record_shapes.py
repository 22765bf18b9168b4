"""What is read of the JSON files that steps leave about a run.

A file that was cut off or edited has another shape: it is refused where it is read, so
that nothing behind it needs to ask.
"""

from __future__ import annotations

import functools
from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # typing's, for Python before 3.12

from components.evaluator import SUMMARY_FILE
from components.report_gen import FEEDBACK_FILE
from trainer.train_report import TRAIN_REPORT_FILE
from trainer.tuning.hyperparameters import SEARCH_FILE

_Metrics = dict[str, float | None]
_Interval = Annotated[list[float | None], Field(min_length=2, max_length=2)]
_REST_IS_FREE: Final = ConfigDict(extra="allow", strict=True)


class _Intervals(TypedDict, total=False):
    __pydantic_config__ = _REST_IS_FREE  # type: ignore[misc]
    candidate: dict[str, _Interval]
    live_gain: dict[str, _Interval] | None


class _Evaluation(TypedDict, total=False):
    __pydantic_config__ = _REST_IS_FREE  # type: ignore[misc]
    candidate: _Metrics
    popularity: _Metrics | None
    popularity_lift: _Metrics | None
    baseline: _Metrics | None
    live_gain: _Metrics | None
    intervals: _Intervals
    confidence: Annotated[float, Field(gt=0, lt=1)]
    blessed: bool
    reasons: list[str]


class _Training(TypedDict, total=False):
    __pydantic_config__ = _REST_IS_FREE  # type: ignore[misc]
    tuned: dict[str, Any]
    train_seconds: float


class _Trial(TypedDict, total=False):
    __pydantic_config__ = _REST_IS_FREE  # type: ignore[misc]
    values: dict[str, Any]


class _Search(TypedDict, total=False):
    __pydantic_config__ = _REST_IS_FREE  # type: ignore[misc]
    best: dict[str, Any]
    trials: list[_Trial]


class _Estimate(TypedDict):
    value: float | None
    low: float | None
    high: float | None


class _Served(TypedDict):
    __pydantic_config__ = _REST_IS_FREE  # type: ignore[misc]
    version: int
    label: str
    with_outcome: int
    metrics: dict[str, _Estimate]


class _Feedback(TypedDict, total=False):
    __pydantic_config__ = _REST_IS_FREE  # type: ignore[misc]
    groups: list[_Served]
    notes: list[str]
    error: str


class _StepTime(TypedDict, total=False):
    __pydantic_config__ = _REST_IS_FREE  # type: ignore[misc]
    id: str
    state: str
    seconds: float


class _Summary(TypedDict, total=False):
    __pydantic_config__ = _REST_IS_FREE  # type: ignore[misc]
    state: str
    error: str | None
    steps: list[_StepTime]
    metrics: dict[str, _Metrics | None]
    blessed: bool
    reasons: list[str]
    pushed_model: str | None
    train_seconds: float | None
    wall_seconds: float | None
    served: list[_Served] | None


_SHAPES: Final = {
    "summary.json": _Summary,
    SUMMARY_FILE: _Evaluation,
    TRAIN_REPORT_FILE: _Training,
    SEARCH_FILE: _Search,
    FEEDBACK_FILE: _Feedback,
}


def wrong_shape(name: str, content: Any) -> str:
    """Says where the content of a file is not what its step writes; empty if it is.

    Args:
      name: Name of the file.
      content: What it holds, parsed.
    """
    try:
        _adapter(name).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        return f"{where + ': ' if where else ''}{first['msg']}"
    return ""


@functools.cache
def _adapter(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(_SHAPES.get(name, dict[str, Any]))
