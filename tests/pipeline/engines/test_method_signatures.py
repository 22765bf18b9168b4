"""Beam reads the signature of a method once, and finds the same."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
import pytest
from apache_beam.transforms import core, userstate

from pipeline.engines.method_signatures import remember_signatures

STATE = userstate.CombiningValueStateSpec("total", sum)
PARAMETER = beam.DoFn.StateParam(STATE)


class Stateful(beam.DoFn):
    """Has a state."""

    def process(self, element: Any, total: Any = PARAMETER) -> None:
        """Does nothing."""


def test_state_is_found_in_each_object(monkeypatch: pytest.MonkeyPatch) -> None:
    read, calls = core.get_function_args_defaults, []

    def counted(function: Any) -> Any:
        calls.append(function)
        return read(function)

    monkeypatch.setattr(core, "get_function_args_defaults", counted)
    remember_signatures.__wrapped__()
    assert userstate.get_dofn_specs(Stateful()) == ({STATE}, set())
    number = len(calls)
    assert userstate.get_dofn_specs(Stateful()) == ({STATE}, set())
    assert userstate.get_dofn_specs(beam.DoFn()) == (set(), set())
    assert 3 < number <= len(calls) <= number + 1
