"""The day to which a run belongs, from which it counts the span `yesterday`.

A step cannot take it from its own clock: a container that waits, or is tried again
after midnight, would read another day, without notice. The server says when the run
was due, or else created: it replaces a placeholder in the inputs of the first step, as
Vertex AI does. Servers before 2.17 leave the placeholder, or nothing.
https://github.com/kubeflow/pipelines/issues/3704

A schedule of version 2 passes its runs no other moment than their creation (`CreateRun`
in the server's `resource_manager.go`). Runs that made up for missed ones would thus all
read the same day, so there is no catching up.
"""

from __future__ import annotations

import datetime
import re
import zoneinfo
from typing import TYPE_CHECKING, Any, Final

from trainer.errors import UsageError, UserError

if TYPE_CHECKING:
    from pipeline.kubeflow.compiled import CompiledPipeline

# Input of the first step, unknown to TFX.
RUN_TIME: Final = "run_time"
_PLACEHOLDER: Final = "{{$.pipeline_job_schedule_time_utc}}"
# As TFX names the parameter.
_SPAN: Final = "range_config"
_RELATIVE: Final = re.compile(
    r"(?P<word>(today|yesterday)(-[0-9]{1,4})?)(@(?P<zone>.+))?"
)
_UTC: Final = "UTC"


def declare(pipeline: CompiledPipeline) -> None:
    """Adds the time of the run to the inputs of the first step.

    Not for pinned spans: an input that differs in every run is never a cache hit.

    Args:
      pipeline: The pipeline; changed.
    """
    from pipeline.kubeflow.ratings_input import READER

    component = pipeline.component(READER).setdefault("inputDefinitions", {})
    component.setdefault("parameters", {})[RUN_TIME] = {"parameterType": "STRING"}
    inputs = pipeline.tasks[READER].setdefault("inputs", {})
    source = {"runtimeValue": {"constant": _PLACEHOLDER}}
    inputs.setdefault("parameters", {})[RUN_TIME] = source


def is_relative(span: str) -> bool:
    """Returns whether a span is counted from the day of the run."""
    return _RELATIVE.fullmatch(span) is not None


def in_zone(span: str, zone: str) -> str:
    """Returns a relative span whose days are those of a time zone.

    Raises:
      UsageError: There is no such time zone.
    """
    find_zone(zone)
    return span if zone == _UTC else f"{span}@{zone}"


def fixed(span: str, moment: datetime.datetime) -> str:
    """Returns the span that a relative one means for a run of a moment.

    Args:
      span: Any span; one that is not relative is returned as it is.
      moment: With a time zone.

    Raises:
      UserError: There is no such day, or no such time zone.
    """
    relative = _RELATIVE.fullmatch(span)
    if relative is None:
        return span
    from components.movielens_example_gen.parameters import last_span

    day = moment.astimezone(find_zone(relative["zone"] or _UTC)).date()
    return str(last_span(relative["word"], day))


def resolve(inputs: dict[str, Any]) -> None:
    """Replaces a relative span by the one that it means for this run.

    Args:
      inputs: Inputs of the first step; changed. The time of the run is removed.

    Raises:
      UserError: The server does not say when the run was created.
    """
    values = inputs.get("parameterValues", {})
    run_time = str(values.pop(RUN_TIME, ""))
    span = str(values.get(_SPAN) or "")
    if not is_relative(span):
        return
    created = moment(run_time)
    if created is None:
        raise UserError(
            f"The span {span!r} is counted from the day of the run, but this server "
            "does not say when the run was created, and the clock of a step that is "
            "tried again may be another day's",
            "Use Kubeflow Pipelines 2.17 or newer; or start each run by "
            "`two-tower run --kubeflow --span yesterday`, which names the day.",
        )
    values[_SPAN] = fixed(span, created)


def moment(text: str) -> datetime.datetime | None:
    """The moment that a text names, with a time zone; None if it names none."""
    try:
        # Python 3.10 does not read the Z.
        found = datetime.datetime.fromisoformat(re.sub("Z$", "+00:00", text))
        found = found.astimezone(datetime.timezone.utc)
    except (ValueError, OverflowError):
        return None
    return found if "+" in text or text.endswith("Z") else None


def find_zone(name: str) -> zoneinfo.ZoneInfo:
    """Returns a time zone.

    Raises:
      UsageError: There is no such zone.
    """
    try:
        return zoneinfo.ZoneInfo(name)
    # What zoneinfo raises for an unknown name, a path, or the name of a folder.
    except (LookupError, ValueError, OSError) as error:
        raise UsageError(
            f"There is no time zone {name!r}",
            "Give a name of the IANA database, such as Europe/Berlin or UTC.",
        ) from error
