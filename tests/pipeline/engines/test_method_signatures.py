"""Beam reads the signature of a method once, and finds the same."""

from __future__ import annotations

import sys
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.transforms import core, userstate
from apache_beam.utils import interactive_utils

from pipeline.engines.method_signatures import (
    look_for_notebook_lazily,
    remember_signatures,
)

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


@pytest.mark.parametrize("is_loaded", [True, False])
def test_a_notebook_is_found_where_there_is_one(
    is_loaded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (interactive_utils, beam.pipeline):
        monkeypatch.setattr(module, "is_in_ipython", lambda: True)
    if is_loaded:
        monkeypatch.setitem(sys.modules, "IPython", sys)
    else:
        monkeypatch.delitem(sys.modules, "IPython", raising=False)
    look_for_notebook_lazily.__wrapped__()
    assert interactive_utils.is_in_ipython() == is_loaded
    assert beam.pipeline.is_in_ipython() == is_loaded
