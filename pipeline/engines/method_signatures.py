"""Remembers what Beam reads of methods. Importing it imports Beam.

To see whether a `DoFn` has state or timers, Beam reads the signatures of its methods,
eight times while a pipeline is made and run: a seventh of the time of Transform.
"""

from __future__ import annotations

import functools
from typing import Any

from apache_beam.transforms import core


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
