"""Beam executors on an engine that is in no cache key. Importing it imports TFX."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from tfx.orchestration.portable.beam_executor_operator import BeamExecutorOperator
from tfx.proto.orchestration import executable_spec_pb2, placeholder_pb2


class EngineOperator(BeamExecutorOperator):
    """Gives executors the arguments of an engine, in place of those in their spec.

    TFX hashes the spec, arguments of Beam included, into the cache key: on another
    engine every step would run again. The graph is therefore always compiled with the
    same arguments, and these replace them.
    """

    def __init__(
        self, beam_args: Sequence[str], executor_spec: Any, platform_config: Any = None
    ) -> None:
        """Makes the operator of one node; see `operators`."""
        super().__init__(executor_spec, platform_config)
        self.beam_pipeline_args = [_placeholder(argument) for argument in beam_args]


def operators(beam_args: Sequence[str]) -> dict[Any, Callable[..., EngineOperator]]:
    """Returns `custom_executor_operators` of a TFX launcher for an engine."""
    spec = executable_spec_pb2.BeamExecutableSpec
    return {spec: functools.partial(EngineOperator, beam_args)}


def _placeholder(argument: str) -> placeholder_pb2.PlaceholderExpression:
    expression = placeholder_pb2.PlaceholderExpression()
    expression.value.string_value = argument
    return expression
