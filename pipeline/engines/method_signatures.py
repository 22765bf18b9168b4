"""Spares Beam what it would find out again. Importing it imports Beam.

To see whether a `DoFn` has state or timers, Beam reads the signatures of its methods,
eight times while a pipeline is made and run: a seventh of the time of Transform. To see
whether it runs in a notebook, it imports IPython, for half a second.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

import apache_beam.pipeline
from apache_beam.transforms import core
from apache_beam.utils import interactive_utils


@functools.cache
def remember_signatures() -> None:
    """Makes Beam read the signature of a method once for all objects of its class."""
    read = core.get_function_args_defaults
    known: dict[Any, tuple[list[str], list[Any]]] = {}

    def remembered(function: Any) -> tuple[list[str], list[Any]]:
        method = getattr(function, "__func__", None)
        names, defaults = known.get(method) or read(function)
        if method is not None:
            known[method] = names, defaults
        return [*names], [*defaults]

    core.get_function_args_defaults = remembered


@functools.cache
def look_for_notebook_lazily() -> None:
    """Makes Beam look for a notebook only where something else has loaded IPython."""
    look = interactive_utils.is_in_ipython

    def is_in_ipython() -> bool:
        return "IPython" in sys.modules and bool(look())

    for module in (interactive_utils, apache_beam.pipeline):
        module.is_in_ipython = is_in_ipython
