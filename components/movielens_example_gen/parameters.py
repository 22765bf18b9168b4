"""Serialises the component's parameters for the driver and the executor.

A runner that binds parameters when a run is started (Kubeflow) may pass the last span
as `range_config`, the property in which TFX has it: `12`, `2026-03-01`, or `latest` for
the newest. All runs of a schedule have the same parameters, so the span may also be
relative to the day of the run: `today`, `yesterday` or `today-3`. The runner, which
knows that day, replaces it; a component knows only the clock of the machine.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter

from components.movielens_example_gen.config import ExampleGenConfig
from trainer.errors import UserError

KEY: Final = "parameters"
_RELATIVE: Final = re.compile(r"(?P<name>today|yesterday)(-(?P<back>[0-9]{1,4}))?")


@dataclass(frozen=True)
class Parameters:
    """The parameters of `MovieLensExampleGen`.

    Attributes:
      data: What is read, how it is split and how rows are cut.
      content_fingerprint: Digest of the input, or empty.
    """

    data: ExampleGenConfig
    content_fingerprint: str


_ADAPTER: Final = TypeAdapter(Parameters)


def to_json(parameters: Parameters) -> str:
    """Serialises the parameters: equal parameters give equal strings.

    Of a `DataConfig`, which configures the gate too, only the fields of
    `ExampleGenConfig` are written: the others do not change the rows.
    """
    return json.dumps(_ADAPTER.dump_python(parameters, mode="json"), sort_keys=True)


def from_exec_properties(exec_properties: Mapping[str, Any]) -> Parameters:
    """Reads the parameters from the execution properties of the component.

    Raises:
      UserError: The last span that the run names is not valid.
    """
    from google.protobuf import struct_pb2
    from tfx.proto import example_gen_pb2
    from tfx.types import standard_component_specs
    from tfx.utils import proto_utils

    custom_config = example_gen_pb2.CustomConfig()
    proto_utils.json_to_proto(
        exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY], custom_config
    )
    struct = struct_pb2.Struct()
    custom_config.custom_config.Unpack(struct)
    given = _ADAPTER.validate_json(struct[KEY])
    span = exec_properties.get(standard_component_specs.RANGE_CONFIG_KEY)
    if not span:
        return given
    data = dataclasses.replace(given.data, last_span=last_span(span, None))
    return dataclasses.replace(given, data=data)


def last_span(span: str, today: datetime.date | None) -> str | None:
    """Resolves the last span that a run names.

    Args:
      span: In one of the forms that the module's docstring lists.
      today: The day of the run; None if it is not known.

    Returns:
      A number or a date as in `ExampleGenConfig.last_span`; None for the newest.

    Raises:
      UserError: It has none of these forms, or the day is not known or does not exist.
    """
    if span == "latest":
        return None
    if relative := _RELATIVE.fullmatch(span):
        days = 1 if relative["name"] == "yesterday" else 0
        days += int(relative["back"] or 0)
        if today is None:
            raise UserError(
                f"The span {span!r} is relative, and the runner did not replace it by "
                "the day that it means for this run",
                "Give the day, such as 2026-03-01.",
            )
        return (today - datetime.timedelta(days=days)).isoformat()
    if re.fullmatch("[0-9]+", span):
        return span
    with contextlib.suppress(ValueError):
        if datetime.date.fromisoformat(span).isoformat() == span:
            return span
    hint = " (this server does not expand such macros)" if "[[" in span else ""
    raise UserError(
        f"The span {span!r} is neither a number nor a date{hint}",
        "Give 12, 2026-03-01, latest, today, yesterday or today-3.",
    )
